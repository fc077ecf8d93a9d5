#include "labelling/prefix_search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <queue>
#include <stdexcept>
#include <string>

namespace carousel {
namespace {

// gamma: at each frame the probability that the labels so far are the prefix, the last frame being a label or a blank.
struct Prefix {
    std::vector<int> labels;
    std::vector<double> label, blank;
    double extensions;  // the probability of all transcripts that begin like this and are longer
};

using Shared = std::shared_ptr<Prefix>;

struct LessProbable {
    bool operator()(const Shared& a, const Shared& b) const { return a->extensions < b->extensions; }
};

class Search {
  public:
    // Probabilities are taken in units of the best label's at each frame, which keeps them in range.
    Search(const float* log_probs, int64_t frames, int labels, int blank)
        : T_(frames), K_(labels), blank_(blank), y_(size_t(frames * labels)), after_(size_t(frames), 1) {
        for (int64_t t = 0; t < T_; ++t) {
            const float* row = log_probs + t * K_;
            const double unit = *std::max_element(row, row + K_);
            log_unit_ += unit;
            for (int k = 0; k < K_; ++k) y_[t * K_ + k] = std::exp(row[k] - unit);
        }
        for (int64_t t = T_ - 1; t > 0; --t) {
            double all = 0;
            for (int k = 0; k < K_; ++k) all += y(t, k);
            after_[t - 1] = after_[t] * all;
        }
    }

    Labelling run(int64_t most) {
        auto present = std::make_shared<Prefix>();
        present->label.assign(T_, 0);
        present->blank.resize(T_);
        double all = 1;
        for (int64_t t = 0; t < T_; ++t) present->blank[t] = all *= y(t, blank_);
        present->extensions = std::numeric_limits<double>::infinity();
        best_ = all;
        for (int64_t count = 0; present->extensions > best_; ++count) {
            if (count == most)
                throw std::runtime_error("more than " + std::to_string(most) + " prefixes would have to be extended");
            extend(*present);
            if (open_.empty()) break;
            present = open_.top();
            open_.pop();
        }
        return {best_labels_, std::log(best_) + log_unit_};
    }

  private:
    double y(int64_t t, int k) const { return y_[t * K_ + k]; }

    void extend(const Prefix& prefix) {
        double rest = prefix.extensions;  // of those not looked at yet
        for (int k = 0; k < K_ && rest > best_; ++k)
            if (k != blank_) rest -= append(prefix, k);
    }

    // The prefix with one label more. Returns the probability of all transcripts that begin like that.
    double append(const Prefix& prefix, int k) {
        auto made = std::make_shared<Prefix>();
        made->label.resize(T_);
        made->blank.resize(T_);
        const bool empty = prefix.labels.empty(), again = !empty && prefix.labels.back() == k;
        double label = empty ? y(0, k) : 0, blank = 0, begun = label * after_[0];
        for (int64_t t = 0; t < T_; ++t) {
            if (t > 0) {
                const double added = prefix.blank[t - 1] + (again ? 0 : prefix.label[t - 1]);
                blank = y(t, blank_) * (blank + label);
                label = y(t, k) * (added + label);
                begun += y(t, k) * added * after_[t];
            }
            made->label[t] = label;
            made->blank[t] = blank;
        }
        if (!std::isfinite(begun)) throw std::runtime_error("the section is too long for the range of floating point");
        const double whole = label + blank;
        made->labels = prefix.labels;
        made->labels.push_back(k);
        made->extensions = begun - whole;
        if (whole > best_) {
            best_ = whole;
            best_labels_ = made->labels;
        }
        if (made->extensions > best_) open_.push(made);
        return begun;
    }

    int64_t T_;
    int K_, blank_;
    std::vector<double> y_, after_;  // after_: of everything that can follow a frame
    double log_unit_ = 0, best_ = 0;
    std::vector<int> best_labels_;
    std::priority_queue<Shared, std::vector<Shared>, LessProbable> open_;
};

}  // namespace

Labelling prefix_search(const float* log_probs, int64_t frames, int labels, int blank, int64_t most) {
    return Search(log_probs, frames, labels, blank).run(most);
}

}  // namespace carousel
