#include "labelling/ngram.hpp"

#include <limits>

namespace carousel {

void NGram::add(const int32_t* words, int n, double log_prob, double backoff) {
    int32_t node = 0;
    for (int i = 0; i < n; ++i) node = child(node, words[i]);
    nodes_[node].log_prob = log_prob;
    nodes_[node].backoff = backoff;
}

int32_t NGram::child(int32_t context, int32_t word) {
    int32_t node = find(context, word);
    if (node != KeyMap::kNone) return node;
    node = int32_t(nodes_.size());
    Node made;
    made.length = nodes_[context].length + 1;
    for (int32_t shorter = context; shorter != 0 && made.shorter == 0;) {
        shorter = nodes_[shorter].shorter;
        const int32_t known = find(shorter, word);
        if (known != KeyMap::kNone) made.shorter = known;
    }
    nodes_.push_back(made);
    children_.insert(key(context, word), node);
    return node;
}

NGram::Scored NGram::score(int32_t context, int32_t word) const {
    double backoff = 0;
    int32_t longest = KeyMap::kNone;
    for (;; context = nodes_[context].shorter) {
        const int32_t node = find(context, word);
        if (node != KeyMap::kNone) {
            if (longest == KeyMap::kNone) longest = nodes_[node].length < order_ ? node : nodes_[node].shorter;
            if (nodes_[node].log_prob != kUnknown) return {backoff + nodes_[node].log_prob, longest};
        }
        if (context == 0) return {-std::numeric_limits<double>::infinity(), 0};
        backoff += nodes_[context].backoff;
    }
}

int32_t NGram::context_of(int32_t word) const {
    const int32_t node = find(0, word);
    return node == KeyMap::kNone || order_ == 1 ? 0 : node;
}

}  // namespace carousel
