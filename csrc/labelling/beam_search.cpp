#include "labelling/beam_search.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <limits>
#include <numeric>

namespace carousel {
namespace {

constexpr double kZero = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
    if (a < b) std::swap(a, b);
    return b == kZero ? a : a + std::log1p(std::exp(b - a));
}

// A prefix of transcripts, in the tree of all that the search still knows of.
struct Prefix {
    Prefix *parent = nullptr, *child = nullptr, *sibling = nullptr;
    int label = -1, length = 0;
    int users = 0;  // children, and the beam
    int place = -1;  // in the beam
    double model = 0;  // weighted, with bonuses
    LabelModel::State state = 0;
};

// The frames at which the labels of a path begin, the last one first; paths share their beginnings.
struct Begin {
    Begin* before;
    int64_t frame;
    int users;
};

// Memory for many small things, which is used again.
template <class T>
class Store {
  public:
    T* make(const T& value) {
        if (free_.empty()) return &all_.emplace_back(value);
        T* place = free_.back();
        free_.pop_back();
        *place = value;
        return place;
    }
    void take_back(T* place) { free_.push_back(place); }

  private:
    std::deque<T> all_;
    std::vector<T*> free_;
};

// The most probable path of a prefix that ends in a certain way.
struct Path {
    double log_prob = kZero;
    Begin* begins = nullptr;
    bool new_label = false;  // which begins at the present frame, after `begins`
};

const Path& better(const Path& a, const Path& b) { return a.log_prob >= b.log_prob ? a : b; }

// A prefix in the beam: the log-probability of all its paths that end in the blank and in its last label.
struct Entry {
    Prefix* prefix;
    double blank, label, total, score;
    Path best_blank, best_label;

    const Path& best() const { return better(best_blank, best_label); }
};

// An entry that stays (label -1), or the `from`-th one with one label more.
struct Candidate {
    double score, log_prob;
    int from, label;
    LabelModel::Scored model;
};

bool ranks_before(const Candidate& a, const Candidate& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.from != b.from ? a.from < b.from : a.label < b.label;
}

}  // namespace

struct BeamSearch::Impl {
    BeamOptions options;
    std::shared_ptr<LabelModel> model;
    Store<Prefix> prefixes;
    Store<Begin> begins;
    std::vector<Entry> beam, next, scratch;
    std::vector<Candidate> candidates;
    std::vector<int> order;  // labels to try at this frame, the most probable first
    std::vector<int> first_child, next_child;  // places in the beam: those whose parent is in it, too
    std::vector<LabelModel::State> asked;
    std::vector<int64_t> extended;  // by label: the mark of the entry whose child of that label is in the beam
    int64_t mark = 0, frame = 0;

    // -- the tree

    Prefix* extend(Prefix* parent, const Candidate& by) {
        for (Prefix* child = parent->child; child; child = child->sibling)
            if (child->label == by.label) return child;
        Prefix made;
        made.parent = parent;
        made.label = by.label;
        made.length = parent->length + 1;
        made.sibling = parent->child;
        made.model = parent->model + gain(*parent, by.label, by.model.log_prob);
        made.state = by.model.state;
        ++parent->users;
        return parent->child = prefixes.make(made);
    }

    void release(Prefix* prefix) {
        while (prefix && --prefix->users == 0) {
            Prefix* parent = prefix->parent;
            if (parent) {
                Prefix** link = &parent->child;
                while (*link != prefix) link = &(*link)->sibling;
                *link = prefix->sibling;
            }
            if (model) model->forget(prefix->state);
            prefixes.take_back(prefix);
            prefix = parent;
        }
    }

    Begin* use(Begin* begin) {
        if (begin) ++begin->users;
        return begin;
    }

    void release(Begin* begin) {
        while (begin && --begin->users == 0) {
            Begin* before = begin->before;
            begins.take_back(begin);
            begin = before;
        }
    }

    Path settled(const Path& path) {
        if (path.log_prob == kZero) return {};
        Begin* own = use(path.begins);
        return {path.log_prob, path.new_label ? begins.make({own, frame, 1}) : own, false};
    }

    // -- scores

    // What a label adds to the score of a prefix, besides the net's log-probability.
    double gain(const Prefix& prefix, int label, double log_prob) const {
        const bool unit = options.space < 0 || (label != options.space && (prefix.length == 0 || prefix.label == options.space));
        return (model ? options.weight * log_prob : 0) + (unit ? options.bonus : 0);
    }

    static double before(const Entry& entry, int label) {
        return label == entry.prefix->label ? entry.blank : entry.total;
    }

    static Path path_before(const Entry& entry, int label) {
        Path path = label == entry.prefix->label ? entry.best_blank : entry.best();
        path.new_label = true;
        return path;
    }

    // -- one frame

    void choose_labels(const float* y) {
        order.clear();
        for (int k = 0; k < options.labels; ++k)
            if (k != options.blank && y[k] >= options.least) order.push_back(k);
        std::sort(order.begin(), order.end(), [y](int a, int b) { return y[a] != y[b] ? y[a] > y[b] : a < b; });
    }

    void find_children() {
        first_child.assign(beam.size(), -1);
        next_child.assign(beam.size(), -1);
        for (size_t i = 0; i < beam.size(); ++i) {
            const Prefix* parent = beam[i].prefix->parent;
            if (!parent || parent->place < 0) continue;
            next_child[i] = first_child[parent->place];
            first_child[parent->place] = int(i);
        }
    }

    // The entries as they are one frame later, with no label more than they have.
    void stay(const float* y) {
        next = beam;
        for (Entry& entry : next) {
            const Path best = entry.best();
            const int last = entry.prefix->label;
            entry.blank = entry.total + y[options.blank];
            entry.best_blank = {best.log_prob + y[options.blank], best.begins, false};
            if (last < 0) continue;
            entry.label += y[last];
            entry.best_label.log_prob += y[last];
        }
        for (size_t p = 0; p < beam.size(); ++p)
            for (int i = first_child[p]; i >= 0; i = next_child[i]) {
                const int last = next[i].prefix->label;
                next[i].label = log_add(next[i].label, before(beam[p], last) + y[last]);
                Path path = path_before(beam[p], last);
                path.log_prob += y[last];
                next[i].best_label = better(next[i].best_label, path);
            }
        candidates.clear();
        for (size_t i = 0; i < next.size(); ++i) {
            next[i].total = log_add(next[i].blank, next[i].label);
            next[i].score = next[i].total + next[i].prefix->model;
            candidates.push_back({next[i].score, next[i].total, int(i), -1, {}});
        }
    }

    // Keeps the best candidates only, and tells the score that others have to reach.
    double cut() {
        const size_t most = size_t(options.beam);
        if (candidates.size() < most) return kZero;
        if (candidates.size() > most) {
            std::nth_element(candidates.begin(), candidates.begin() + most - 1, candidates.end(), ranks_before);
            candidates.resize(most);
        }
        return std::min_element(candidates.begin(), candidates.end(), [](auto& a, auto& b) { return a.score < b.score; })->score;
    }

    // Prefixes that are not in the beam: each comes from one entry alone. The language model is asked only about those
    // that could enter: log-probabilities are not positive.
    void grow(const float* y) {
        double least = cut();
        const double hope = std::max(options.bonus, 0.0);
        if (model) prepare(order.empty() ? kZero : y[order[0]] + hope, least);
        for (size_t i = 0; i < beam.size(); ++i) {
            const Entry& entry = beam[i];
            ++mark;
            for (int c = first_child[i]; c >= 0; c = next_child[c]) extended[beam[c].prefix->label] = mark;
            for (int label : order) {
                if (entry.score + y[label] + hope < least) break;
                if (extended[label] == mark) continue;
                const double log_prob = before(entry, label) + y[label];
                if (log_prob == kZero || log_prob + entry.prefix->model + hope < least) continue;
                LabelModel::Scored scored{0, 0};
                if (model) scored = model->score(entry.prefix->state, label);
                const double score = log_prob + entry.prefix->model + gain(*entry.prefix, label, scored.log_prob);
                if (score == kZero || score < least) continue;
                candidates.push_back({score, log_prob, int(i), label, scored});
                if (candidates.size() >= 4 * size_t(options.beam)) least = cut();
            }
        }
        cut();
    }

    // Tells the model which entries could have successors: those whose score and `gain` come up to `least`.
    void prepare(double gain, double least) {
        asked.clear();
        for (const Entry& entry : beam)
            if (entry.score + gain >= least) asked.push_back(entry.prefix->state);
        model->prepare(asked);
    }

    Entry entry_of(const Candidate& chosen, const float* y) {
        Entry entry = chosen.label < 0 ? next[chosen.from] : beam[chosen.from];
        if (chosen.label >= 0) {
            Path path = path_before(beam[chosen.from], chosen.label);
            path.log_prob += y[chosen.label];
            Prefix* prefix = extend(beam[chosen.from].prefix, chosen);
            entry = {prefix, kZero, chosen.log_prob, chosen.log_prob, chosen.score, {}, path};
        }
        entry.best_blank = settled(entry.best_blank);
        entry.best_label = settled(entry.best_label);
        ++entry.prefix->users;
        return entry;
    }

    void drop(std::vector<Entry>& entries) {
        for (Entry& entry : entries) {
            release(entry.best_blank.begins);
            release(entry.best_label.begins);
            release(entry.prefix);
        }
    }

    void step(const float* y) {
        choose_labels(y);
        find_children();
        stay(y);
        grow(y);
        std::sort(candidates.begin(), candidates.end(), ranks_before);
        scratch.clear();
        for (const Candidate& chosen : candidates) scratch.push_back(entry_of(chosen, y));
        for (Entry& entry : beam) entry.prefix->place = -1;
        drop(beam);
        beam.swap(scratch);
        ++frame;
        if (options.settle >= 0) settle();
        for (size_t i = 0; i < beam.size(); ++i) beam[i].prefix->place = int(i);
    }

    // Labels of the best entry that began long ago are final: entries that say otherwise go.
    void settle() {
        const Prefix* last = beam[0].prefix;
        for (const Begin* begin = beam[0].best().begins; begin && begin->frame >= frame - options.settle; begin = begin->before)
            last = last->parent;
        const auto contradicts = [last](const Entry& entry) {
            const Prefix* prefix = entry.prefix;
            while (prefix->length > last->length) prefix = prefix->parent;
            return prefix != last;
        };
        const auto gone = std::stable_partition(beam.begin(), beam.end(), std::not_fn(contradicts));
        scratch.assign(gone, beam.end());
        drop(scratch);
        beam.erase(gone, beam.end());
    }

    // -- what was found

    Transcript transcript(const Entry& entry, double score) const {
        Transcript found{{}, {}, score, entry.total, 0};
        for (const Prefix* prefix = entry.prefix; prefix->label >= 0; prefix = prefix->parent)
            found.labels.push_back(prefix->label);
        for (const Begin* begin = entry.best().begins; begin; begin = begin->before)
            found.times.push_back(int(begin->frame));
        std::reverse(found.labels.begin(), found.labels.end());
        std::reverse(found.times.begin(), found.times.end());
        return found;
    }

    int shared_length() const {
        const Prefix* common = beam[0].prefix;
        for (const Entry& entry : beam) {
            const Prefix* other = entry.prefix;
            while (other->length > common->length) other = other->parent;
            while (common->length > other->length) common = common->parent;
            while (common != other) common = common->parent, other = other->parent;
        }
        return common->length;
    }
};

BeamSearch::BeamSearch(const BeamOptions& options, std::shared_ptr<LabelModel> model) : impl_(new Impl) {
    impl_->options = options;
    impl_->model = std::move(model);
    impl_->extended.assign(options.labels, 0);
    Prefix root;
    root.users = 1;
    root.place = 0;
    if (impl_->model) root.state = impl_->model->start();
    impl_->beam.push_back({impl_->prefixes.make(root), 0, kZero, 0, 0, {0, nullptr, false}, {}});
}

BeamSearch::~BeamSearch() = default;

void BeamSearch::feed(const float* log_probs, int64_t frames) {
    for (int64_t t = 0; t < frames; ++t) impl_->step(log_probs + t * impl_->options.labels);
}

Transcript BeamSearch::best() const {
    Transcript found = impl_->transcript(impl_->beam[0], impl_->beam[0].score);
    found.stable = impl_->shared_length();
    return found;
}

std::vector<Transcript> BeamSearch::finish(int count) const {
    std::vector<double> scores;
    for (const Entry& entry : impl_->beam) {
        const double end = impl_->model ? impl_->options.weight * impl_->model->end(entry.prefix->state) : 0;
        scores.push_back(entry.score + end);
    }
    std::vector<int> ranks(scores.size());
    std::iota(ranks.begin(), ranks.end(), 0);
    std::stable_sort(ranks.begin(), ranks.end(), [&](int a, int b) { return scores[a] > scores[b]; });
    std::vector<Transcript> found;
    for (int i : ranks)
        if (int(found.size()) < count) found.push_back(impl_->transcript(impl_->beam[i], scores[i]));
    return found;
}

}  // namespace carousel
