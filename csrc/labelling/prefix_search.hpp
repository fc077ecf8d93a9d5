// Prefix search decoding (Graves et al., 2006): the most probable transcript of some frames, exactly.
#pragma once
#include <cstdint>
#include <vector>

namespace carousel {

struct Labelling {
    std::vector<int> labels;
    double log_prob;
};

// log_probs (frames, labels), of one frame or more. Throws std::runtime_error where more than `most` prefixes had to be extended.
Labelling prefix_search(const float* log_probs, int64_t frames, int labels, int blank, int64_t most);

}  // namespace carousel
