// The Python module: programs in, pointers in, no tensor library.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "binding.hpp"
#include "plan.hpp"
#include "variants.hpp"

namespace nb = nanobind;
using namespace carousel;

namespace {

void run(Binding& binding, const std::string& dtype, int64_t T, int64_t B, nb::list tensors, uintptr_t lengths,
         uintptr_t resets, int threads, const std::optional<std::string>& precision) {
    if (dtype != "float32" && dtype != "float64")
        throw std::invalid_argument("run: dtype is \"" + dtype + "\", expected \"float32\" or \"float64\"");
    const bool low = precision && *precision != dtype;
    if (low && (dtype != "float32" || *precision != "bfloat16"))
        throw std::invalid_argument("run: precision is \"" + *precision + "\", expected \"" + dtype + "\"" +
                                    (dtype == "float32" ? " or \"bfloat16\"" : ""));
    std::vector<Tensor> given;
    given.reserve(tensors.size());
    for (nb::handle t : tensors) given.push_back(t.is_none() ? Tensor{} : nb::cast<Tensor>(t));
    std::vector<Run> runs = binding.runs(given, dtype == "float32" ? 4 : 8);
    for (Run& run : runs) {
        run.arguments.T = T;
        run.arguments.B = B;
        run.arguments.lengths = reinterpret_cast<const int64_t*>(lengths);
        run.arguments.resets = reinterpret_cast<const uint8_t*>(resets);
    }
    nb::gil_scoped_release released;
    if (dtype == "float32")
        run_programs(runs, threads, *variant().float_kernels[int(low ? Precision::bfloat16 : Precision::float32)]);
    else
        run_programs(runs, threads, *variant().double_kernels);
}

}  // namespace

NB_MODULE(_core, m) {
    nb::set_leak_warnings(false);  // programs in caches that live until the interpreter ends are no leak
    m.doc() = "The native engine: runs step programs over batches of sequences on the CPU.";
    nb::class_<Program>(m, "Program", "A step program, read from JSON and checked. Raises ValueError if it is malformed.")
        .def(nb::init<const std::string&>(), nb::arg("json_text"));
    nb::class_<Binding>(m, "Binding",
                        "Programs that run at the same time, each forwards or in reverse, and where their externals are: "
                        "for each the number of a tensor (-1: nowhere), an index into its first axis, and a column.")
        .def(nb::init<>())
        .def("add", &Binding::add, nb::arg("program"), nb::arg("reverse"), nb::arg("places"), nb::keep_alive<1, 2>())
        .def("run", &run, nb::arg("dtype"), nb::arg("T"), nb::arg("B"), nb::arg("tensors"), nb::arg("lengths_pointer"),
             nb::arg("resets_pointer"), nb::arg("threads"), nb::arg("precision") = nb::none(),
             "Runs the programs. A tensor is its address and its strides in elements, or None. `precision` is what the "
             "factors of products are rounded to: dtype (or None), or \"bfloat16\" where that is float32.");
    m.def(
        "variants",
        [] {
            std::vector<std::string> names;
            for (const Variant& v : variants()) names.push_back(v.name);
            return names;
        },
        "The instruction sets that this processor can run, the best first.");
    m.def(
        "variant", [] { return std::string(variant().name); }, "The instruction set in use.");
    m.def("set_variant", &set_variant, nb::arg("name"), "Chooses the instruction set for all calls that follow.");
    m.def("set_thread_worth", &set_thread_worth, nb::arg("multiply_adds"),
          "How much work pays for one more thread (for tests: 0 shares the smallest call).");
}
