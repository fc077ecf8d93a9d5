// All blocks of nets of one call: they know nothing of each other, and share the threads.
#pragma once
#include "online/engine/stepper.hpp"

namespace carousel::online {

// The blocks of a call, one after the other, with what runs them.
template <class T>
struct Blocks {
    const OnlineProgram& program;
    const OnlineKernels<T>& kernels;
    T* data;
    int64_t nets;

    int64_t count() const { return (nets + kNets<T> - 1) / kNets<T>; }
    Stepper<T> stepper(int64_t k) const {
        return Stepper<T>(program, kernels, data + k * program.size * kNets<T>, k * kNets<T>);
    }
    void prepare() const;
    void finish() const;
    // Throws std::invalid_argument for an index past the input's or the output's width.
    void run(const Call<T>& call, int threads) const;
    void jacobian(const Call<T>& call, T* result) const;
    void check(const Call<T>& call) const;
};

}  // namespace carousel::online
