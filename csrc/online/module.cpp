#include "online/module.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "kernels/variants.hpp"
#include "online/engine/blocks.hpp"

namespace nb = nanobind;

namespace carousel::online {
namespace {

const int64_t kBytes = kBlockBytes;

// Addresses of the tensors of a call, in this order; 0 where there is none.
enum { kInputs, kHot, kTargets, kHotTargets, kWhen, kStarts, kLengths, kBegins, kOutputs, kTaken, kTensors };

template <class T>
const OnlineKernels<T>& kernels() {
    if constexpr (sizeof(T) == 4)
        return *variant().online_float;
    else
        return *variant().online_double;
}

template <class T>
Call<T> call_of(int64_t steps, int64_t nets, const std::vector<uintptr_t>& t, bool learns, double tolerance) {
    if (t.size() != kTensors) throw std::invalid_argument("online: expected the addresses of 10 tensors");
    return {steps,
            nets,
            reinterpret_cast<const T*>(t[kInputs]),
            reinterpret_cast<const int32_t*>(t[kHot]),
            reinterpret_cast<const T*>(t[kTargets]),
            reinterpret_cast<const int32_t*>(t[kHotTargets]),
            reinterpret_cast<const uint8_t*>(t[kWhen]),
            reinterpret_cast<const uint8_t*>(t[kStarts]),
            reinterpret_cast<const int64_t*>(t[kLengths]),
            reinterpret_cast<const uint8_t*>(t[kBegins]),
            reinterpret_cast<T*>(t[kOutputs]),
            reinterpret_cast<uint8_t*>(t[kTaken]),
            learns,
            T(tolerance)};
}

// Calls f with blocks of the dtype.
template <class F>
void with_blocks(const OnlineProgram& program, const std::string& dtype, uintptr_t data, int64_t nets, F f) {
    nb::gil_scoped_release released;
    if (dtype == "float32")
        f(Blocks<float>{program, kernels<float>(), reinterpret_cast<float*>(data), nets});
    else if (dtype == "float64")
        f(Blocks<double>{program, kernels<double>(), reinterpret_cast<double*>(data), nets});
    else
        throw std::invalid_argument("online: dtype is \"" + dtype + "\", expected \"float32\" or \"float64\"");
}

template <class T>
T value_of(const Blocks<T>&);  // not defined: names the type

void run(const OnlineProgram& program, const std::string& dtype, uintptr_t data, int64_t nets, int64_t steps,
         const std::vector<uintptr_t>& tensors, bool learns, double tolerance, int threads) {
    with_blocks(program, dtype, data, nets, [&](auto blocks) {
        blocks.run(call_of<decltype(value_of(blocks))>(steps, nets, tensors, learns, tolerance), threads);
    });
}

void jacobian(const OnlineProgram& program, const std::string& dtype, uintptr_t data, int64_t nets,
              const std::vector<uintptr_t>& tensors, uintptr_t result) {
    with_blocks(program, dtype, data, nets, [&](auto blocks) {
        using T = decltype(value_of(blocks));
        blocks.jacobian(call_of<T>(1, nets, tensors, false, -1), reinterpret_cast<T*>(result));
    });
}

void prepare(const OnlineProgram& program, const std::string& dtype, uintptr_t data, int64_t nets) {
    with_blocks(program, dtype, data, nets, [](auto blocks) { blocks.prepare(); });
}

void finish(const OnlineProgram& program, const std::string& dtype, uintptr_t data, int64_t nets) {
    with_blocks(program, dtype, data, nets, [](auto blocks) { blocks.finish(); });
}

}  // namespace

void add_to(nb::module_& m) {
    nb::class_<OnlineProgram>(m, "OnlineProgram",
                              "A program for learning on-line, read from JSON and checked. Nets stand in blocks of "
                              "block_bytes an element, which are the caller's memory. Raises ValueError if malformed.")
        .def_ro_static("block_bytes", &kBytes)
        .def(nb::init<const std::string&>(), nb::arg("json_text"))
        .def("prepare", &prepare, nb::arg("dtype"), nb::arg("blocks"), nb::arg("nets"), "Sets constants and states.")
        .def("run", &run, nb::arg("dtype"), nb::arg("blocks"), nb::arg("nets"), nb::arg("steps"), nb::arg("tensors"),
             nb::arg("learns"), nb::arg("tolerance"), nb::arg("threads"),
             "Takes steps. `tensors`: the addresses of inputs, their indices, targets, their indices, when, starts, "
             "lengths, begins, outputs and taken, 0 where there is none. A net that is off by more than the tolerance, "
             "unless that is below 0, rests from the next step on.")
        .def("jacobian", &jacobian, nb::arg("dtype"), nb::arg("blocks"), nb::arg("nets"), nb::arg("tensors"),
             nb::arg("result"), "The derivatives of the outputs of a step that is not taken.")
        .def("finish", &finish, nb::arg("dtype"), nb::arg("blocks"), nb::arg("nets"),
             "What was collected of the last sequences changes the weights.");
}

}  // namespace carousel::online
