// Which tensors from outside the externals of some programs are.
#pragma once
#include <cstdint>
#include <tuple>
#include <vector>

#include "run/executor.hpp"

namespace carousel {

// The address of a tensor, and then its strides in elements. Empty: there is none.
using Tensor = std::vector<int64_t>;

class Binding {
  public:
    // For each external the number of a tensor (-1: nowhere), an index into the tensor's first axis, and a column.
    using Places = std::vector<std::tuple<int, int64_t, int64_t>>;

    // Throws std::invalid_argument if there is not one place for each of the program's externals.
    void add(const Program& program, bool reverse, Places places);

    // Throws std::invalid_argument for tensors that have too few axes, or are not there.
    std::vector<Run> runs(const std::vector<Tensor>& tensors, int64_t element_bytes) const;

  private:
    struct Bound {
        const Program& program;
        bool reverse;
        Places places;
    };

    std::vector<Bound> bound_;
};

}  // namespace carousel
