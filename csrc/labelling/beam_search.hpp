// Prefix beam search over the frames of connectionist temporal classification, some frames at a time.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "labelling/label_model.hpp"

namespace carousel {

struct BeamOptions {
    int labels;  // K
    int blank;
    int beam;
    double least;  // labels whose log-probability at a frame is below are not tried there
    double weight = 0, bonus = 0;
    int space = -1;   // the bonus is for words, which this label ends; -1: for labels
    int settle = -1;  // after how many frames nothing may contradict the best one's labels any more; -1: never
};

struct Transcript {
    std::vector<int> labels, times;
    double score, log_prob;
    int stable;  // how many of the labels all other transcripts of the beam begin with
};

class BeamSearch {
  public:
    // The model may be null.
    BeamSearch(const BeamOptions& options, std::shared_ptr<LabelModel> model);
    ~BeamSearch();

    void feed(const float* log_probs, int64_t frames);  // (frames, K)
    Transcript best() const;                            // as far as the frames go
    std::vector<Transcript> finish(int count) const;    // the language model's word on ends included

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace carousel
