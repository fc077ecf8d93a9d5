// A native program: the plain data that a planner made of a cell's equations, read from JSON, checked completely, and
// brought into the form that the executor runs. After construction nothing in it can lead outside its arrays.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "program/json.hpp"
#include "kernels/kernels.hpp"

namespace carousel {

enum class Shape { step, batch, vector, matrix };
enum class Role { in, out, keep, sum };

struct External {
    Shape shape;
    Role role;
    std::string name;
    int64_t width = 0;            // of step, batch and vector; found from use
    int64_t rows = 0, columns = 0;  // of a matrix; found from use
};

enum class Kind { number, step, batch, vector, previous, next, block, line, temporary, carry, carry_out };

struct Value {
    Kind kind;
    int64_t width;
    int extra;         // external or state
    double number = 0;
    int object;        // number of the value whose storage this is: itself, or what it is a view of
    int64_t offset = 0;  // columns into that
    bool is_view = false;
};

struct State {
    int64_t width;
    int hx, initial, kept;          // externals, -1 for none
    int final = -1;                 // forward
    int d_final = -1, d_hx = -1, d_initial = -1;  // backward
    bool carried = false;
};

struct MatrixUse {
    int external;
    bool transposed;
    int64_t n, k;
};

// Rows are looked up for `lookups`: of a tile phase its operands (-1: a temporary) and then the sources of its
// products; of a row phase the results and then the sources.
struct Phase {
    bool is_tile = true;
    std::vector<int> lookups;
    // tile
    std::vector<Operand> operands;
    std::vector<Segment> segments;
    std::vector<Product> products;
    std::vector<Instruction> instructions;
    TileCode code{};
    // row
    RowOp op{};
    size_t results = 0;
    int64_t n = 0;
    double eps = 0;
    std::vector<int64_t> source_widths;
    int64_t dst_width = 0;
    // Of the loop: whether threads that share rows must meet before it.
    bool meet = false;
};

struct MatrixReduction {
    int external, source;
    bool narrow;  // the source is so narrow that it had better take the place of d
    bool first;   // of those that add to this external
};

struct MatrixReductions {  // all of the same d
    int d;
    std::vector<MatrixReduction> gradients;
};

// A source of matrix reductions and which panels of the threads' scratch its rows are gathered into.
struct ReductionSource {
    int value;
    int64_t first_panel;
};

struct VectorReduction {
    int external, a, b;
};

struct BatchReduction {
    int external, a;
};

enum class Section { before, loop, after };

class Program {
  public:
    explicit Program(const std::string& text);
    Program(const Program&) = delete;

    bool backward = false;
    std::vector<External> externals;
    std::vector<Value> values;
    std::vector<State> states;
    std::vector<MatrixUse> matrices;
    std::vector<Phase> before, loop, after;
    std::vector<MatrixReductions> matrix_reductions;
    std::vector<ReductionSource> reduction_sources;  // those that are not narrow
    std::vector<int> summed;                         // externals of matrix reductions
    int64_t reduction_panels = 0, widest_d = 0;
    std::vector<VectorReduction> vector_reductions;
    std::vector<BatchReduction> batch_reductions;
    int64_t widest = 1;  // of all values

    bool reduces() const {
        return !matrix_reductions.empty() || !vector_reductions.empty() || !batch_reductions.empty();
    }

  private:
    void read_externals(const Json& list);
    void read_states(const Json& list);
    void read_values(const Json& list);
    void read_view(int number, const Json& extra);
    void read_section(Section section, const Json& list, std::vector<Phase>& phases);
    void read_tile(Section section, const std::vector<Json>& parts, Phase& phase);
    void read_row(Section section, const std::vector<Json>& parts, Phase& phase);
    void read_reduce(const Json& list);
    void order_reductions();
    void add_matrix_reduction(int external, int d, int source);
    void check_widths() const;
    void plan_meetings();

    int external_number(const Json& json, const char* what, Shape shape, bool may_miss = false) const;
    int value_number(const Json& json, const char* what) const;
    int canonical(int value) const;
    void set_width(int external, int64_t width);
    void set_matrix(int external, int64_t rows, int64_t columns);
    int matrix_use(int external, bool transposed, int64_t n, int64_t k);
    void check_read(Section section, int value, bool whole_row) const;
    void check_write(Section section, int value, bool tile) const;
    void check_reducible(int value) const;
    std::string name_of(int value) const;

    friend class TileReader;
};

// The kernels' names of operations, in the order of their enumerations.
int op_number(const std::string& name);
int op_arity(Op op);
int row_op_number(const std::string& name);

}  // namespace carousel
