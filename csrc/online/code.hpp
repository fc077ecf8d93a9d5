// A program for on-line learning as the kernels run it: plain data only (see kernels.hpp). Nets stand side by side in
// blocks: each quantity of a block is a run of elements, each element kBlockBytes of lanes, one lane a net. Places are
// numbers of elements from the beginning of a block.
#pragma once
#include <cstdint>

#include "kernels/kernels.hpp"

namespace carousel::online {

constexpr int64_t kBlockBytes = 128;  // of one element: 32 nets in float32, 16 in float64
template <class T>
constexpr int64_t kNets = kBlockBytes / int64_t(sizeof(T));

constexpr int64_t kNone = -1;  // in the place of a factor: it is 1

enum class Kind : int32_t { elementwise, take, place, affine, outer, collect, trace, exact };

// Columns of a matrix and what they meet: u, or 1 where that is kNone. `input`: u is the net's input, which may be given
// as the index of its only 1. `matrix`: the weights, or the gradient of them.
struct Segment {
    int64_t matrix, row_stride, column_stride, u, columns;
    bool input;
};

// A sensitivity, of one state with respect to one row of weights: a line of `columns` elements. value: what it grows by
// (of trace, exact), or the error that meets it (of collect); factor: what is left of it (of trace). kNone is 1 there,
// and `kNothing` zero.
constexpr int64_t kNothing = -2;
struct Pair {
    int64_t value, factor, row, first_term, terms;
};

struct Term {
    int64_t factor, source;  // source: number of a pair
};

struct Instruction {
    Kind kind;
    Op op;                  // of elementwise
    int64_t n, dst;         // rows of the result, and where it stands
    int64_t a, b, c;        // operands; kNone where there is none
    const int64_t* index;   // of take (n many) and place (one for each of `columns` elements of a)
    const int64_t* rows;    // of affine: added to the products
    int64_t row_count;
    const Segment* segments;
    int64_t segment_count;
    const Pair* pairs;
    int64_t pair_count;
    const Term* terms;
    // of a line of sensitivities; where the new ones are made (exact), or what they grow along is gathered (trace; the
    // input is the first segment)
    int64_t columns, second;
};

// One step of one block.
template <class T>
struct Moment {
    T* block;
    const int32_t* hot;     // for each net the index of its only 1, or -1; null: the input is dense
    const T* active;     // all bits set for the nets that take the step, none for others; null: all take it
};

template <class T>
struct OnlineKernels {
    void (*run)(const Instruction* code, int64_t count, const Moment<T>& moment);
    // new values into states, where the nets take the step
    void (*commit)(T* to, const T* from, int64_t n, const T* active);
    // v = momentum * v - rate * g, w += v, for the nets of a mask; without momentum v is null
    void (*descend)(T* w, const T* g, T* v, int64_t n, const T* rate, T momentum, const T* mask);
    // of the Kalman filter, see filter.hpp
    void (*measure)(const T* covariance, const T* c, T* kc, T* s, int64_t n, int64_t m);
    void (*invert)(T* s, int64_t m);
    void (*correct)(T* weights, const int64_t* index, T* covariance, const T* kc, const T* a, const T* error, const T* q,
                    int64_t n, int64_t m, T* gain, const T* mask);
};

}  // namespace carousel::online
