#include "labelling/label_model.hpp"

namespace carousel {

LabelModel::Scored NGramOfLabels::score(State state, int label) {
    const NGram::Scored found = ngram_->score(int32_t(state), words_[label]);
    return {found.log_prob, found.context};
}

double NGramOfLabels::end(State state) { return stop_ < 0 ? 0 : ngram_->score(int32_t(state), stop_).log_prob; }

NGramOfWords::NGramOfWords(std::shared_ptr<const NGram> ngram, int32_t first, int32_t stop, int32_t unknown,
                           double unknown_log_prob, const std::vector<std::string>& vocabulary,
                           std::vector<std::string> alphabet, int space)
    : ngram_(std::move(ngram)), first_(first), stop_(stop), unknown_(unknown), unknown_log_prob_(unknown_log_prob),
      alphabet_(std::move(alphabet)), space_(space), words_(1, -1) {
    for (size_t number = 0; number < vocabulary.size(); ++number)
        if (int32_t(number) != stop && int32_t(number) != unknown) spell(vocabulary[number], int32_t(number));
}

void NGramOfWords::spell(const std::string& word, int32_t number) {
    int32_t place = kRoot;
    for (unsigned char byte : word) {
        const uint64_t key = uint64_t(uint32_t(place)) << 8 | byte;
        int32_t next = children_.find(key);
        if (next == KeyMap::kNone) {
            next = int32_t(words_.size());
            words_.push_back(-1);
            children_.insert(key, next);
        }
        place = next;
    }
    words_[place] = number;
}

int32_t NGramOfWords::walk(int32_t place, const std::string& letters) const {
    for (size_t i = 0; i < letters.size() && place != kOff; ++i)
        place = children_.find(uint64_t(uint32_t(place)) << 8 | static_cast<unsigned char>(letters[i]));
    return place;
}

NGram::Scored NGramOfWords::finished(int32_t context, int32_t place) const {
    const int32_t word = place == kOff || words_[place] < 0 ? unknown_ : words_[place];
    return word < 0 ? NGram::Scored{unknown_log_prob_, 0} : ngram_->score(context, word);
}

LabelModel::Scored NGramOfWords::score(State state, int label) {
    const int32_t context = context_of(state), place = place_of(state);
    if (label == space_) {
        if (place == kRoot || place == kOff) return {0, pair(context, kRoot)};
        const NGram::Scored found = finished(context, place);
        return {found.log_prob, pair(found.context, kRoot)};
    }
    if (place == kOff) return {0, state};
    const int32_t next = walk(place, alphabet_[label]);
    if (next != kOff) return {0, pair(context, next)};
    const NGram::Scored found = finished(context, kOff);
    return {found.log_prob, pair(found.context, kOff)};
}

double NGramOfWords::end(State state) {
    NGram::Scored last{0, context_of(state)};
    const int32_t place = place_of(state);
    if (place != kRoot && place != kOff) last = finished(last.context, place);
    return last.log_prob + (stop_ < 0 ? 0 : ngram_->score(last.context, stop_).log_prob);
}

}  // namespace carousel
