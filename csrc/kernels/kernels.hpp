// What the executor and the kernels of each instruction set share: plain data only. Nothing with a body may stand
// here: a function compiled once for AVX-512 and once for the baseline would be merged by the linker into either one.
#pragma once
#include <cstdint>

namespace carousel {

constexpr int64_t kTileRows = 6;       // rows of a register tile
constexpr int64_t kPanel = 64;         // columns of a panel of weights, and of a tile
constexpr int64_t kChunkRows = 96;     // rows whose addresses are worked out together
constexpr int64_t kReduceRows = 256;   // rows that a gradient takes in at a time
constexpr int kMostOperands = 256;     // of one tile phase

enum class Op : int32_t {
    copy, neg, sigmoid, tanh, exp, log, softplus, relu, abs, sign, sqrt, sin, cos, floor, recip, positive,
    add, sub, mul, div, maximum, minimum, lt, le, gt, ge, eq, ne,
    fma, fms, fnma, where, clip, dsigmoid, dtanh,
};

enum class RowOp : int32_t {
    mean, sum, softmax, normalize, rstd, normalize_grad, softmax_grad, expand, blocksum, slice, pad, concat,
};

// An operand of a tile phase. Its rows come from a table of pointers, or from a tile of scratch of its own:
// always for temporaries and for operands one column wide in a wider phase, and in the last panel for operands of
// products whose rows must not be touched past their width (`bounded`). `same_rows`: all rows are the same, and read only.
struct Operand {
    bool temporary, broadcast, constant, bounded, same_rows;
    bool read_first, written, in_product;
};

struct Segment {
    int32_t weight, source;  // source: number of the table of pointers
};

struct Product {
    int32_t dst, init;  // operands; init is -1 for none
    const Segment* segments;
    int32_t segment_count;
    int32_t alike;  // how many products from here on, this one included, have the same sources
};

struct Instruction {
    Op op;
    int32_t dst, a, b, c;     // operands; -1 for none
    bool bounded, bounded_dst;  // whether in the last panel an operand, or the destination, must not be passed
};

struct TileCode {
    int64_t width;
    const Operand* operands;
    int32_t operand_count;
    const Product* products;
    int32_t product_count;
    const Instruction* instructions;
    int32_t instruction_count;
};

// A matrix in a product: result[n] += sum over k of (n, k) * source[k].
template <class T>
struct Weight {
    const T* data;  // element (n, k) stands at n * stride_n + k * stride_k; null: all zeros
    int64_t stride_n, stride_k, n, k;
    T* packed;  // panels of kPanel columns, [groups of k][kPanel], in the format of the kernels
};

// Runs a tile phase over rows 0..rows and the panels first_panel..last_panel.
template <class T>
struct TileCall {
    const TileCode* code;
    const Weight<T>* weights;
    bool direct;              // weights are used where they lie, not packed
    T* const* const* tables;  // one pointer per row: for each operand, then for each source of products (converted)
    int64_t rows, first_panel, last_panel;
    T* const* scratch;  // as many pointers per operand as a tile has rows, each to kPanel elements
};

template <class T>
struct RowCall {
    RowOp op;
    int64_t rows;
    T* const* dst;
    T* const* rstd;  // of normalize: where 1/std goes, or null
    int64_t dst_width;
    T* const* const* sources;
    const int64_t* source_widths;
    int32_t source_count;
    int64_t n;
    T eps;
};

// gradient(i, j) += sum over rows of a[a_first + i] * b[b_first + j]. The tables have one pointer per group of rows (a
// row, where the kernels' format has groups of one), that of b one per word of a group. Of b whole vectors can be read,
// with zeros past its columns.
template <class T>
struct MatrixGradientCall {
    int64_t rows;
    T* const* a;
    int64_t a_first, a_columns, a_stride;  // the stride is that of the lines of a group
    T* const* b;
    int64_t b_first, columns;
    T* gradient;  // of the first column of both
    int64_t stride_i, stride_j;
    bool fresh;  // nothing is there yet to add to
};

// gradient[j] += sum over rows of a[j] (* b[j]), for j in first..last.
template <class T>
struct VectorGradientCall {
    int64_t rows;
    T* const* a;
    T* const* b;  // null for none
    bool a_broadcast, b_broadcast;
    int64_t first, last;
    T* gradient;
};

// The kernels of one instruction set for one format of products (formats.hpp).
template <class T>
struct Kernels {
    void (*tile)(const TileCall<T>&);
    void (*row)(const RowCall<T>&);
    void (*pack)(const Weight<T>&, int64_t panel);
    // Copies columns first..first + columns of some rows into a panel, whose rows are kPanel wide, and into lines, which
    // are `stride` wide. Null where rows are lines as they are.
    void (*gather_panel)(T* const* rows, int64_t count, int64_t first, int64_t columns, T* panel);
    void (*gather_lines)(T* const* rows, int64_t count, int64_t first, int64_t columns, int64_t stride, T* lines,
                         T** lines_of_groups);
    void (*matrix_gradient)(const MatrixGradientCall<T>&);
    void (*vector_gradient)(const VectorGradientCall<T>&);
    int64_t tile_rows;           // at most
    int64_t group, words, head;  // inner elements, the packed words that hold so many, words before them in a column
    // Turns a table of rows of some width to converted ones, which begin at `out`, `converted(width)` elements each.
    // Null where products meet rows as they are.
    void (*convert)(T** rows, int64_t count, int64_t width, T* out);
    int64_t (*converted)(int64_t width);
};

}  // namespace carousel
