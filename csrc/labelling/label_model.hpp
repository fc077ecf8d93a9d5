// Language models as a decoder sees them: they score one label after the other.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "labelling/ngram.hpp"

namespace carousel {

class LabelModel {
  public:
    using State = int64_t;
    struct Scored {
        double log_prob;
        State state;
    };

    virtual ~LabelModel() = default;
    virtual State start() = 0;
    virtual Scored score(State state, int label) = 0;
    virtual double end(State state) = 0;
    virtual void prepare(const std::vector<State>&) {}  // these may be asked about next
    virtual void forget(State) {}                       // nobody will ask about this state again
};

// Each label is a word of the n-gram model.
class NGramOfLabels : public LabelModel {
  public:
    // `words`: of each label. `stop`: the word that ends a sentence; -1 is none.
    NGramOfLabels(std::shared_ptr<const NGram> ngram, int32_t first, int32_t stop, std::vector<int32_t> words)
        : ngram_(std::move(ngram)), first_(first), stop_(stop), words_(std::move(words)) {}

    State start() override { return first_; }
    Scored score(State state, int label) override;
    double end(State state) override;

  private:
    std::shared_ptr<const NGram> ngram_;
    int32_t first_, stop_;
    std::vector<int32_t> words_;
};

// Words are spelled by labels and end with the label `space`. A word is scored where it ends; one that the model does not
// know, as soon as no known word begins like it.
class NGramOfWords : public LabelModel {
  public:
    // `vocabulary`: the words, in the order of their numbers, which `unknown`, `stop` and -1 for none are as well.
    // `unknown_log_prob` counts where there is no word for unknown ones.
    NGramOfWords(std::shared_ptr<const NGram> ngram, int32_t first, int32_t stop, int32_t unknown,
                 double unknown_log_prob, const std::vector<std::string>& vocabulary, std::vector<std::string> alphabet,
                 int space);

    State start() override { return State(first_) << 32; }
    Scored score(State state, int label) override;
    double end(State state) override;

  private:
    // A state is a context and a place in the tree of spellings: its root, a node, or off it, where the word was scored.
    static constexpr int32_t kRoot = 0, kOff = -1;
    static State pair(int32_t context, int32_t place) { return State(context) << 32 | uint32_t(place); }
    static int32_t context_of(State state) { return int32_t(state >> 32); }
    static int32_t place_of(State state) { return int32_t(uint32_t(state)); }

    void spell(const std::string& word, int32_t number);
    int32_t walk(int32_t place, const std::string& letters) const;
    NGram::Scored finished(int32_t context, int32_t place) const;

    std::shared_ptr<const NGram> ngram_;
    int32_t first_, stop_, unknown_;
    double unknown_log_prob_;
    std::vector<std::string> alphabet_;
    int space_;
    KeyMap children_;             // of a place and a byte
    std::vector<int32_t> words_;  // at each place of the tree, -1 for none
};

}  // namespace carousel
