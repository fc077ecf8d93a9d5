// A back-off n-gram model. A context is a number: 0 is the empty one.
#pragma once
#include <cstdint>
#include <vector>

#include "labelling/key_map.hpp"

namespace carousel {

class NGram {
  public:
    struct Scored {
        double log_prob;
        int32_t context;  // the longest that the model knows, the word included
    };

    explicit NGram(int order) : order_(order), nodes_(1) {}

    // One n-gram of n words, in nats; those of fewer words first.
    void add(const int32_t* words, int n, double log_prob, double backoff);

    Scored score(int32_t context, int32_t word) const;

    // The context of that one word.
    int32_t context_of(int32_t word) const;

  private:
    struct Node {
        double log_prob = kUnknown, backoff = 0;
        int32_t shorter = 0;  // the context without its first word, or the longest known end of that
        int32_t length = 0;
    };

    // Stands for no probability: of a node that is there as the context of longer ones only.
    static constexpr double kUnknown = 1;

    int32_t find(int32_t context, int32_t word) const { return children_.find(key(context, word)); }
    int32_t child(int32_t context, int32_t word);
    static uint64_t key(int32_t context, int32_t word) { return uint64_t(uint32_t(context)) << 32 | uint32_t(word); }

    int order_;
    std::vector<Node> nodes_;
    KeyMap children_;
};

}  // namespace carousel
