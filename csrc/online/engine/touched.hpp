// Which gradients a step reaches when the input is given as the index of its only 1: of a matrix that the input alone
// meets, one column a net. Everything else a step may reach wholly.
#pragma once
#include <vector>

#include "online/code.hpp"

namespace carousel::online {

struct Rows {
    int64_t at = 0, n = 0;
};

// rows x columns of weights or their gradients, one row after the other.
struct Matrix {
    int64_t at, rows, columns;
};

// Numbers of weights, from the first on.
struct Touched {
    std::vector<Matrix> columns;
    std::vector<Rows> wholly;
};

// `gradients`: the instructions that add to the gradients, which stand at `gradient`.
Touched touched_by(const std::vector<Instruction>& gradients, Rows gradient);

}  // namespace carousel::online
