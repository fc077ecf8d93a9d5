// The weights of a program, and packing them once for many calls.
#pragma once
#include <vector>

#include "run/arena.hpp"
#include "kernels/kernels.hpp"
#include "run/places.hpp"
#include "program/program.hpp"

namespace carousel {

inline int64_t panels_of(int64_t width) { return (width + kPanel - 1) / kPanel; }

template <class T>
int64_t packed_size(const Weight<T>& w, const Kernels<T>& kernels) {
    return panels_of(w.n) * (kernels.head + (w.k + kernels.group - 1) / kernels.group * kernels.words) * kPanel;
}

// The weights where they lie.
template <class T>
std::vector<Weight<T>> find_weights(const Program& program, const Arguments& a) {
    std::vector<Weight<T>> found;
    for (const MatrixUse& m : program.matrices) {
        const size_t e = size_t(m.external);
        const int64_t row = a.strides[2 * e], column = a.strides[2 * e + 1];
        const T* data = reinterpret_cast<const T*>(a.pointers[e]);
        found.push_back({data, m.transposed ? column : row, m.transposed ? row : column, m.n, m.k, nullptr});
    }
    return found;
}

// Afterwards nobody reads the matrices themselves any more.
template <class T>
class PackedWeights {
  public:
    PackedWeights(const Program& program, const Arguments& arguments, const Kernels<T>& kernels)
        : kernels(kernels), arena_(Arena::Memory::own), weights_(find_weights<T>(program, arguments)) {
        int64_t size = 0;
        for (const Weight<T>& w : weights_) size += packed_size(w, kernels);
        T* next = arena_.take<T>(size);
        for (Weight<T>& w : weights_) {
            w.packed = std::exchange(next, next + packed_size(w, kernels));
            for (int64_t p = 0; p < panels_of(w.n); ++p) kernels.pack(w, p);
        }
    }

    const std::vector<Weight<T>>& weights() const { return weights_; }

    const Kernels<T>& kernels;

  private:
    Arena arena_;
    std::vector<Weight<T>> weights_;
};

}  // namespace carousel
