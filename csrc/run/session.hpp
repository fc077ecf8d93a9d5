// What streams of single steps need: weights that are packed once, and calls that are prepared once and run many times.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "run/binding.hpp"
#include "kernels/variants.hpp"

namespace carousel {

// A program whose matrices have been packed, and where its other externals will be.
class Packed {
  public:
    virtual ~Packed() = default;
};

// Of a binding of one forward program, which must stay alive; only the matrices among the tensors are read.
// Throws std::invalid_argument for another binding, or tensors that do not fit.
std::shared_ptr<Packed> pack(const Binding& binding, const std::vector<Tensor>& tensors, const Kernels<float>& kernels);
std::shared_ptr<Packed> pack(const Binding& binding, const std::vector<Tensor>& tensors, const Kernels<double>& kernels);

// The layers of a stack, one after the other: what one writes, the next reads. Aligned as what it holds (barriers lie in
// lines of the cache by themselves), since its owner frees the memory of this type.
class alignas(64) Session {
  public:
    virtual ~Session() = default;

    // Copies x, of the session's size, to where the first layer reads it, and runs all layers. Allocates nothing.
    virtual void run(const void* x) = 0;
};

// T steps of B rows. Throws std::invalid_argument if the layers do not fit their tensors or each other.
std::unique_ptr<Session> make_session(const std::vector<std::pair<std::shared_ptr<Packed>, std::vector<Tensor>>>& layers,
                                      int64_t T, int64_t B, void* x, size_t bytes_of_x, int threads);

}  // namespace carousel
