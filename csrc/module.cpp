// The Python module: programs in, pointers in, no tensor library.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "labelling/module.hpp"
#include "online/module.hpp"
#include "run/binding.hpp"
#include "run/plan.hpp"
#include "run/session.hpp"
#include "kernels/variants.hpp"

namespace nb = nanobind;
using namespace carousel;

namespace {

using Name = std::optional<std::string>;

// What factors of products are rounded to, of some names besides dtype. Throws std::invalid_argument for what is not there.
Precision find_precision(const std::string& dtype, const Name& precision, const std::vector<std::string>& lower) {
    if (dtype != "float32" && dtype != "float64")
        throw std::invalid_argument("run: dtype is \"" + dtype + "\", expected \"float32\" or \"float64\"");
    if (!precision || *precision == dtype) return Precision::float32;
    std::string known = "\"" + dtype + "\"";
    for (size_t i = 0; dtype == "float32" && i < lower.size(); ++i) {
        if (*precision == lower[i]) return Precision(i + 1);
        known += " or \"" + lower[i] + "\"";
    }
    throw std::invalid_argument("run: precision is \"" + *precision + "\", expected " + known);
}

const Kernels<float>& float_kernels(Precision precision) { return *variant().float_kernels[int(precision)]; }

std::vector<Tensor> read_tensors(nb::list tensors) {
    std::vector<Tensor> given;
    given.reserve(tensors.size());
    for (nb::handle t : tensors) given.push_back(t.is_none() ? Tensor{} : nb::cast<Tensor>(t));
    return given;
}

void run(Binding& binding, const std::string& dtype, int64_t T, int64_t B, nb::list tensors, uintptr_t lengths,
         uintptr_t resets, int threads, const Name& name) {
    const Precision precision = find_precision(dtype, name, {"bfloat16", "split"});
    const std::vector<Tensor> given = read_tensors(tensors);
    std::vector<Run> runs = binding.runs(given, dtype == "float32" ? 4 : 8);
    for (Run& run : runs) {
        run.arguments.T = T;
        run.arguments.B = B;
        run.arguments.lengths = reinterpret_cast<const int64_t*>(lengths);
        run.arguments.resets = reinterpret_cast<const uint8_t*>(resets);
    }
    nb::gil_scoped_release released;
    if (dtype == "float32")
        run_programs(runs, threads, float_kernels(precision));
    else
        run_programs(runs, threads, *variant().double_kernels);
}

std::shared_ptr<Packed> pack_binding(const Binding& binding, const std::string& dtype, nb::list tensors,
                                     const Name& name) {
    const Precision precision = find_precision(dtype, name, {"bfloat16", "split", "int8"});
    const std::vector<Tensor> given = read_tensors(tensors);
    if (dtype == "float64") return pack(binding, given, *variant().double_kernels);
    return pack(binding, given, float_kernels(precision));
}

std::unique_ptr<Session> session(const std::vector<std::pair<std::shared_ptr<Packed>, nb::list>>& layers, int64_t T,
                                 int64_t B, uintptr_t x, size_t bytes_of_x, int threads) {
    std::vector<std::pair<std::shared_ptr<Packed>, std::vector<Tensor>>> read;
    for (const auto& [packed, tensors] : layers) read.emplace_back(packed, read_tensors(tensors));
    return make_session(read, T, B, reinterpret_cast<void*>(x), bytes_of_x, threads);
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
             "factors of products are rounded to: dtype (or None), or where that is float32 \"bfloat16\", or \"split\", "
             "which is the sum of two of those.")
        .def("pack", &pack_binding, nb::arg("dtype"), nb::arg("tensors"), nb::arg("precision") = nb::none(),
             nb::keep_alive<0, 1>(), "Packs the matrices of a forward program, for `session`, also in \"int8\"; nobody reads them afterwards.");
    nb::class_<Packed>(m, "Packed", "A forward program with packed matrices. Made by `Binding.pack`.");
    nb::class_<Session>(m, "Session", "Calls prepared once, of one layer after the other. Made by `session`.")
        .def(
            "run", [](Session& session, uintptr_t x) { session.run(reinterpret_cast<const void*>(x)); }, nb::arg("x"),
            nb::call_guard<nb::gil_scoped_release>(), "Copies x from its address, and runs all layers.");
    m.def("session", &session, nb::arg("layers"), nb::arg("T"), nb::arg("B"), nb::arg("x"), nb::arg("bytes_of_x"),
          nb::arg("threads"),
          "Prepares calls of packed programs, each with its tensors, which must stay alive. x is the address from which "
          "the first one reads its input, and where `Session.run` copies it.");
    online::add_to(m);
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
    add_labelling(m);
}
