#include "labelling/module.hpp"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <unordered_map>

#include "labelling/beam_search.hpp"
#include "labelling/label_model.hpp"
#include "labelling/prefix_search.hpp"
#include "labelling/transducer.hpp"

namespace nb = nanobind;

namespace carousel {
namespace {

// A Python object with start(), score(state, label), end(state) and perhaps prepare(states), asked once about each state
// and label.
class PythonModel : public LabelModel {
  public:
    explicit PythonModel(nb::object model) : model_(std::move(model)), prepares_(nb::hasattr(model_, "prepare")) {}

    ~PythonModel() override {
        nb::gil_scoped_acquire held;
        states_.clear();
        model_.reset();
    }

    State start() override {
        nb::gil_scoped_acquire held;
        return add(model_.attr("start")());
    }

    Scored score(State state, int label) override {
        auto& known = known_[state];
        if (auto found = known.find(label); found != known.end()) return found->second;
        nb::gil_scoped_acquire held;
        nb::tuple given(model_.attr("score")(states_.at(state), label));
        if (given.size() != 2) throw nb::type_error("a language model's score() gives a pair: a log-probability, a state");
        return known[label] = {nb::cast<double>(given[0]), add(given[1])};
    }

    double end(State state) override {
        nb::gil_scoped_acquire held;
        return nb::cast<double>(model_.attr("end")(states_.at(state)));
    }

    void prepare(const std::vector<State>& states) override {
        if (!prepares_) return;
        std::vector<State> unknown;
        for (State state : states)
            if (!known_.count(state)) unknown.push_back(state);
        if (unknown.empty()) return;
        nb::gil_scoped_acquire held;
        nb::list given;
        for (State state : unknown) given.append(states_.at(state));
        model_.attr("prepare")(given);
    }

    // The state itself stays: the one before may lead to it once more.
    void forget(State state) override {
        auto known = known_.find(state);
        if (known == known_.end()) return;
        nb::gil_scoped_acquire held;
        for (auto& [label, scored] : known->second) states_.erase(scored.state);
        known_.erase(known);
    }

  private:
    State add(nb::object state) {
        states_.emplace(next_, std::move(state));
        return next_++;
    }

    nb::object model_;
    bool prepares_;
    State next_ = 0;
    std::unordered_map<State, nb::object> states_;
    std::unordered_map<State, std::unordered_map<int, Scored>> known_;
};

using Found = std::tuple<std::vector<int>, double, double, std::vector<int>>;

Found found(const Transcript& t) { return {t.labels, t.score, t.log_prob, t.times}; }

std::shared_ptr<NGram> make_ngram(const std::vector<std::tuple<int64_t, uintptr_t, uintptr_t, uintptr_t>>& orders) {
    nb::gil_scoped_release released;
    auto made = std::make_shared<NGram>(int(orders.size()));
    for (size_t i = 0; i < orders.size(); ++i) {
        const auto& [count, words, log_probs, backoffs] = orders[i];
        for (int64_t k = 0; k < count; ++k)
            made->add(reinterpret_cast<const int32_t*>(words) + k * int64_t(i + 1), int(i + 1),
                      reinterpret_cast<const double*>(log_probs)[k], reinterpret_cast<const double*>(backoffs)[k]);
    }
    return made;
}

template <class Float>
void lattice_losses(uintptr_t blank, uintptr_t label, int64_t T, int64_t B, int64_t U1, uintptr_t frames,
                    uintptr_t labels, uintptr_t losses, int threads) {
    transducer_losses(reinterpret_cast<Float*>(blank), reinterpret_cast<Float*>(label), T, B, U1,
                      reinterpret_cast<const int64_t*>(frames), reinterpret_cast<const int64_t*>(labels),
                      reinterpret_cast<Float*>(losses), threads);
}

void add_models(nb::module_& m) {
    nb::class_<NGram>(m, "NGram", "A back-off n-gram model over the numbers of words.")
        .def(nb::new_(&make_ngram), nb::arg("orders"),
             "For each order how many n-grams, and the addresses of their words (int32), log-probabilities and back-off "
             "weights (float64, in nats).")
        .def("context_of", &NGram::context_of, nb::arg("word"))
        .def(
            "score",
            [](const NGram& ngram, int32_t context, int32_t word) {
                const NGram::Scored scored = ngram.score(context, word);
                return std::pair(scored.log_prob, scored.context);
            },
            nb::arg("context"), nb::arg("word"), "The log-probability of the word, and the context after it.");
    nb::class_<LabelModel>(m, "LabelModel", "A language model over labels.")
        .def("start", &LabelModel::start)
        .def(
            "score",
            [](LabelModel& model, int64_t state, int label) {
                const LabelModel::Scored scored = model.score(state, label);
                return std::pair(scored.log_prob, scored.state);
            },
            nb::arg("state"), nb::arg("label"))
        .def("end", &LabelModel::end, nb::arg("state"));
    nb::class_<NGramOfLabels, LabelModel>(m, "NGramOfLabels")
        .def(nb::init<std::shared_ptr<const NGram>, int32_t, int32_t, std::vector<int32_t>>(), nb::arg("ngram"),
             nb::arg("first"), nb::arg("stop"), nb::arg("words"));
    nb::class_<NGramOfWords, LabelModel>(m, "NGramOfWords")
        .def(nb::init<std::shared_ptr<const NGram>, int32_t, int32_t, int32_t, double, const std::vector<std::string>&,
                      std::vector<std::string>, int>(),
             nb::arg("ngram"), nb::arg("first"), nb::arg("stop"), nb::arg("unknown"), nb::arg("unknown_log_prob"),
             nb::arg("vocabulary"), nb::arg("alphabet"), nb::arg("space"));
    nb::class_<PythonModel, LabelModel>(m, "PythonModel").def(nb::init<nb::object>(), nb::arg("model"));
}

}  // namespace

void add_labelling(nb::module_& m) {
    add_models(m);
    nb::class_<BeamSearch>(m, "BeamSearch", "Prefix beam search, fed with log-probabilities (frames, labels), float32.")
        .def(
            "__init__",
            [](BeamSearch* place, int labels, int blank, int beam, double least, std::shared_ptr<LabelModel> model,
               double weight, double bonus, int space, int settle) {
                new (place) BeamSearch({labels, blank, beam, least, weight, bonus, space, settle}, std::move(model));
            },
            nb::arg("labels"), nb::arg("blank"), nb::arg("beam"), nb::arg("least"), nb::arg("model").none(),
            nb::arg("weight"), nb::arg("bonus"), nb::arg("space"), nb::arg("settle"))
        .def(
            "feed",
            [](BeamSearch& search, uintptr_t log_probs, int64_t frames) {
                search.feed(reinterpret_cast<const float*>(log_probs), frames);
            },
            nb::arg("log_probs"), nb::arg("frames"), nb::call_guard<nb::gil_scoped_release>())
        .def("best",
             [](const BeamSearch& search) {
                 const Transcript best = search.best();
                 return std::tuple(best.labels, best.times, best.stable);
             })
        .def(
            "finish",
            [](const BeamSearch& search, int count) {
                std::vector<Found> all;
                for (const Transcript& transcript : search.finish(count)) all.push_back(found(transcript));
                return all;
            },
            nb::arg("count"), "Of the best `count`: labels, score, log-probability, times.");
    m.def(
        "prefix_search",
        [](uintptr_t log_probs, int64_t frames, int labels, int blank, int64_t most) {
            Labelling best;
            {
                nb::gil_scoped_release released;
                best = prefix_search(reinterpret_cast<const float*>(log_probs), frames, labels, blank, most);
            }
            return std::pair(best.labels, best.log_prob);
        },
        nb::arg("log_probs"), nb::arg("frames"), nb::arg("labels"), nb::arg("blank"), nb::arg("most"));
    m.def("transducer_losses_float32", &lattice_losses<float>, nb::call_guard<nb::gil_scoped_release>());
    m.def("transducer_losses_float64", &lattice_losses<double>, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace carousel
