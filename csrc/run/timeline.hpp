// Which steps each row of the batch goes through, in which order, and where it starts anew.
#pragma once
#include <algorithm>
#include <cstdint>

namespace carousel {

struct Row {
    int32_t t, b;
};

struct Timeline {
    int64_t T, B;
    bool reverse;            // rows are read from their ends to their beginnings
    const int64_t* lengths;  // (B,) or null
    const uint8_t* resets;   // (T, B) or null

    int64_t length(int64_t b) const { return lengths ? lengths[b] : T; }
    int64_t first(int64_t b) const { return reverse ? length(b) - 1 : 0; }
    int64_t last(int64_t b) const { return reverse ? 0 : length(b) - 1; }
    int64_t earlier(int64_t t) const { return reverse ? t + 1 : t - 1; }
    int64_t later(int64_t t) const { return reverse ? t - 1 : t + 1; }

    // Whether the row's state is its initial one before step t. In reverse the cut of step t + 1 lies there.
    bool reset(int64_t t, int64_t b) const {
        if (!resets) return false;
        if (!reverse) return resets[t * B + b] != 0;
        return t + 1 < length(b) && resets[(t + 1) * B + b] != 0;
    }
};

// Rows of the batch that a thread, or a few, own for the whole sequence: from the longest to the shortest, so that
// those still running at a step come first.
struct Band {
    const int32_t* rows;
    int64_t count;

    int64_t running(const Timeline& time, int64_t t) const {
        if (!time.lengths) return count;
        return std::partition_point(rows, rows + count, [&](int32_t b) { return time.lengths[b] > t; }) - rows;
    }
};

}  // namespace carousel
