// A program for on-line learning: the plain data that was derived from a net's equations, read from JSON and checked
// completely. After construction nothing in it leads outside of a block.
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "program/json.hpp"
#include "online/engine/touched.hpp"

namespace carousel::online {

struct State {
    Rows rows;
    int64_t fresh;  // where a step leaves the new value
    double initial;
};

struct Constant {
    Rows rows;
    double value;
};

class OnlineProgram {
  public:
    explicit OnlineProgram(const std::string& text);
    OnlineProgram(const OnlineProgram&) = delete;

    int64_t size = 0;  // elements of a block
    Rows input, output;
    bool reads_input = false;  // otherwise than in segments, which can do with the index of its 1
    std::vector<Rows> seeds;   // gradients of the output and, if it is another value, of what the loss is taken of
    std::vector<State> states;
    std::vector<Rows> sensitivities;
    Rows weights, gradient;
    Touched touched;  // of the gradients
    int64_t rate = 0, first_rate = 0, pending = 0;  // one element each
    std::vector<Constant> constants;
    std::vector<Instruction> forward, reverse, gradients, traces;
    Json rule;
    bool at_once = true;  // weights change at each step with a target, not when the next sequence starts

  private:
    Rows rows(const Json& json, const char* what) const;
    int64_t place(const Json& json, int64_t n, const char* what, bool may_miss = false) const;
    std::vector<Instruction> code(const Json& list);
    Instruction instruction(const std::vector<Json>& parts);
    void read_elementwise(const std::vector<Json>& parts, Instruction& i);
    void read_segments(const Json& list, int64_t n, bool reads, Instruction& i);
    void read_pairs(const Json& list, Instruction& i);
    void check_lines(const Instruction& i, int64_t at, int64_t lines) const;

    template <class T>
    const T* keep(std::deque<std::vector<T>>& store, std::vector<T> values) {
        return store.emplace_back(std::move(values)).data();
    }

    std::deque<std::vector<int64_t>> numbers_;
    std::deque<std::vector<Segment>> segments_;
    std::deque<std::vector<Pair>> pairs_;
    std::deque<std::vector<Term>> terms_;
};

}  // namespace carousel::online
