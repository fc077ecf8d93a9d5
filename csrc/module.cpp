// The Python module: programs in, pointers in, no tensor library.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "executor.hpp"
#include "plan.hpp"
#include "variants.hpp"

namespace nb = nanobind;
using namespace carousel;

namespace {

void run(const Program& program, const std::string& dtype, int64_t T, int64_t B, bool reverse,
         std::vector<uintptr_t> pointers, std::vector<int64_t> strides, uintptr_t lengths, uintptr_t resets, int threads,
         const std::optional<std::string>& precision) {
    if (dtype != "float32" && dtype != "float64")
        throw std::invalid_argument("run: dtype is \"" + dtype + "\", expected \"float32\" or \"float64\"");
    const bool low = precision && *precision != dtype;
    if (low && (dtype != "float32" || *precision != "bfloat16"))
        throw std::invalid_argument("run: precision is \"" + *precision + "\", expected \"" + dtype + "\"" +
                                    (dtype == "float32" ? " or \"bfloat16\"" : ""));
    Arguments a;
    a.T = T;
    a.B = B;
    a.reverse = reverse;
    a.pointers = std::move(pointers);
    a.strides = std::move(strides);
    a.lengths = reinterpret_cast<const int64_t*>(lengths);
    a.resets = reinterpret_cast<const uint8_t*>(resets);
    a.threads = threads;
    nb::gil_scoped_release released;
    if (dtype == "float32")
        run_program(program, a, *variant().float_kernels[int(low ? Precision::bfloat16 : Precision::float32)]);
    else
        run_program(program, a, *variant().double_kernels);
}

}  // namespace

NB_MODULE(_core, m) {
    nb::set_leak_warnings(false);  // programs in caches that live until the interpreter ends are no leak
    m.doc() = "The native engine: runs step programs over batches of sequences on the CPU.";
    nb::class_<Program>(m, "Program", "A step program, read from JSON and checked. Raises ValueError if it is malformed.")
        .def(nb::init<const std::string&>(), nb::arg("json_text"))
        .def("run", &run, nb::arg("dtype"), nb::arg("T"), nb::arg("B"), nb::arg("reverse"), nb::arg("pointers"),
             nb::arg("strides"), nb::arg("lengths_pointer"), nb::arg("resets_pointer"), nb::arg("threads"), nb::arg("precision") = nb::none(),
             "Runs the program. `pointers` has one address and `strides` two numbers of elements an external. `precision` is what "
             "the factors of products are rounded to: dtype (or None), or \"bfloat16\" where that is float32.");
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
