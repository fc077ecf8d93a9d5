#include "online/engine/stepper.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace carousel::online {

template <class T>
Stepper<T>::Stepper(const OnlineProgram& program, const OnlineKernels<T>& kernels, T* block, int64_t first)
    : program_(program),
      kernels_(kernels),
      block_(block),
      first_(first),
      rule_(make_rule<T>(program)),
      moment_{block, nullptr, nullptr},
      hot_(size_t(kNets<T>), -1),
      last_hot_(hot_),
      takes_(size_t(kNets<T>)),
      rests_(takes_),
      wakes_(takes_),
      active_(size_t(kNets<T>)),
      hit_(active_),
      starting_(active_),
      errors_(size_t(program.output.n * kNets<T>)),
      decay_(T(program.rule.has("decay") ? program.rule.member("decay").number("decay") : 1)) {}

template <class T>
void Stepper<T>::set(Mask& mask, int64_t net, bool value) {
    std::memset(&mask[size_t(net)], value ? 0xff : 0, sizeof(T));
}

template <class T>
bool Stepper<T>::is_set(const T* mask, int64_t net) {
    unsigned char first;
    std::memcpy(&first, mask + net, 1);
    return first != 0;
}

template <class T>
bool Stepper<T>::any(const Mask& mask) const {
    for (int64_t k = 0; k < nets_; ++k)
        if (is_set(mask.data(), k)) return true;
    return false;
}

template <class T>
void Stepper<T>::prepare() {
    for (const Constant& c : program_.constants)
        std::fill_n(at(c.rows.at), c.rows.n * kNets<T>, T(c.value));
    for (int64_t net = 0; net < kNets<T>; ++net) restart(net);
}

template <class T>
void Stepper<T>::fill(int64_t place, int64_t n, int64_t net, T value) {
    T* p = at(place) + net;
    for (int64_t k = 0; k < n; ++k) p[k * kNets<T>] = value;
}

template <class T>
void Stepper<T>::restart_states(int64_t net) {
    for (const State& s : program_.states) fill(s.rows.at, s.rows.n, net, T(s.initial));
}

template <class T>
void Stepper<T>::restart(int64_t net) {
    restart_states(net);
    for (const Rows& r : program_.sensitivities) fill(r.at, r.n, net, T(0));
    at(program_.rate)[net] = at(program_.first_rate)[net];
}

// The nets that rest, and begin again with step t.
template <class T>
void Stepper<T>::wake(const Call<T>& call, int64_t t) {
    if (!any_rests_) return;
    const int64_t cell = t * call.nets + first_;
    any_rests_ = false;
    for (int64_t k = 0; k < nets_; ++k) {
        if (!rests_[size_t(k)]) continue;
        const bool begins = call.begins && call.begins[cell + k];
        rests_[size_t(k)] = !begins;
        wakes_[size_t(k)] = begins;
        any_rests_ |= !begins;
        if (begins) next_end_ = t;
    }
}

// The nets whose errors are too large rest from the next step on.
template <class T>
void Stepper<T>::rest(const Call<T>& call) {
    for (int64_t k = 0; k < nets_; ++k) {
        bool within = true;
        for (int64_t j = 0; j < program_.output.n; ++j) within &= std::abs(error(j)[k]) <= call.tolerance;
        if (within || !is_set(hit_.data(), k)) continue;
        rests_[size_t(k)] = any_rests_ = true;
        next_end_ = 0;
    }
}

// Which nets take step t. That changes only where one of them ends, rests or begins again.
template <class T>
void Stepper<T>::find_active(const Call<T>& call, int64_t t) {
    if (t < next_end_) return;
    next_end_ = call.steps;
    bool all = true;
    for (int64_t k = 0; k < kNets<T>; ++k) {
        const int64_t length = k >= nets_ ? 0 : call.lengths ? call.lengths[first_ + k] : call.steps;
        const bool takes = t < length && !rests_[size_t(k)];
        takes_[size_t(k)] = takes;
        set(active_, k, takes);
        all &= k >= nets_ || takes;
        if (takes) next_end_ = std::min(next_end_, length);
    }
    moment_.active = all ? nullptr : active_.data();
}

// The beginning of the sequences that begin at step t.
template <class T>
void Stepper<T>::start(const Call<T>& call, int64_t t) {
    const int64_t cell = t * call.nets + first_;
    for (int64_t k = 0; call.starts && k < nets_; ++k) wakes_[size_t(k)] |= call.starts[cell + k];
    if (!any_of(wakes_.data())) return;
    const auto each = [&](auto f) {
        for (int64_t k = 0; k < nets_; ++k)
            if (takes_[size_t(k)] && wakes_[size_t(k)]) f(k);
    };
    if (call.learns) {
        std::fill(starting_.begin(), starting_.end(), T(0));
        each([&](int64_t k) { set(starting_, k, at(program_.pending)[k] != T(0)); });
        if (any(starting_)) change(starting_);
        each([&](int64_t k) { restart(k); });
    } else {
        each([&](int64_t k) { restart_states(k); });
    }
    std::fill(wakes_.begin(), wakes_.end(), uint8_t(0));
}

template <class T>
bool Stepper<T>::any_of(const uint8_t* flags) const {
    uint8_t found = 0;
    for (int64_t k = 0; k < nets_; ++k) found |= flags[k];
    return found != 0;
}

template <class T>
void Stepper<T>::read_input(const Call<T>& call, int64_t t) {
    const Rows& x = program_.input;
    T* to = at(x.at);
    if (!call.hot) {
        const T* from = call.inputs + (t * call.nets + first_) * x.n;
        for (int64_t k = 0; k < nets_; ++k, from += x.n) {
            if (!takes_[size_t(k)]) continue;  // what lies past the end is never read
            for (int64_t d = 0; d < x.n; ++d) to[d * kNets<T> + k] = from[d];
        }
        return;
    }
    const int32_t* from = call.hot + t * call.nets + first_;
    for (int64_t k = 0; k < nets_; ++k) hot_[size_t(k)] = takes_[size_t(k)] ? from[k] : -1;
    if (!program_.reads_input) return;
    std::fill_n(to, x.n * kNets<T>, T(0));
    for (int64_t k = 0; k < nets_; ++k)
        if (hot_[size_t(k)] >= 0) to[hot_[size_t(k)] * kNets<T> + k] = T(1);
}

template <class T>
void Stepper<T>::write_output(const Call<T>& call, int64_t t) {
    const Rows& y = program_.output;
    const int64_t cell = t * call.nets + first_;
    T* to = call.outputs + cell * y.n;
    for (int64_t k = 0; k < nets_; ++k, to += y.n) {
        if (!takes_[size_t(k)]) continue;
        call.taken[cell + k] = 1;
        for (int64_t j = 0; j < y.n; ++j) to[j] = at(y.at + j)[k];
    }
}

// The errors of step t; false if no net has a target there.
template <class T>
bool Stepper<T>::find_errors(const Call<T>& call, int64_t t) {
    const int64_t cell = t * call.nets + first_;
    if (call.when && !any_of(call.when + cell)) return false;
    const Rows& y = program_.output;
    std::fill(errors_.begin(), errors_.end(), T(0));
    std::fill(hit_.begin(), hit_.end(), T(0));
    for (int64_t k = 0; k < nets_; ++k) {
        if (!takes_[size_t(k)] || (call.when && !call.when[cell + k])) continue;
        set(hit_, k, true);
        for (int64_t j = 0; j < y.n; ++j) {
            const T target = call.targets ? call.targets[(cell + k) * y.n + j] : T(call.hot_targets[cell + k] == j);
            errors_[size_t(j * kNets<T> + k)] = at(y.at + j)[k] - target;
        }
    }
    return any(hit_);
}

template <class T>
void Stepper<T>::run_code(const std::vector<Instruction>& code) {
    kernels_.run(code.data(), int64_t(code.size()), moment_);
}

template <class T>
void Stepper<T>::clear_gradient() {
    const Rows& all = program_.gradient;
    if (!touched_) {
        std::fill_n(at(all.at), all.n * kNets<T>, T(0));
    } else {
        for (const Rows& r : program_.touched.wholly) std::fill_n(at(all.at + r.at), r.n * kNets<T>, T(0));
        for (const Matrix& m : program_.touched.columns)
            for (int64_t r = 0; r < m.rows; ++r)
                for (int64_t k = 0; k < nets_; ++k)
                    if (last_hot_[size_t(k)] >= 0) at(all.at + m.at + r * m.columns + last_hot_[size_t(k)])[k] = T(0);
    }
    touched_ = moment_.hot != nullptr;
    if (touched_) last_hot_ = hot_;
}

template <class T>
void Stepper<T>::seed_loss() {
    for (const Rows& r : program_.seeds) std::fill_n(at(r.at), r.n * kNets<T>, T(0));
    std::copy(errors_.begin(), errors_.end(), at(program_.seeds.back().at));
}

template <class T>
void Stepper<T>::seed_output(int64_t k) {
    for (const Rows& r : program_.seeds) std::fill_n(at(r.at), r.n * kNets<T>, T(0));
    std::fill_n(at(program_.seeds.front().at + k), kNets<T>, T(1));
}

template <class T>
void Stepper<T>::differentiate() {
    run_code(program_.reverse);
    run_code(program_.gradients);
}

template <class T>
void Stepper<T>::change(const Mask& mask) {
    rule_->change(*this, mask.data());
    if (program_.at_once) return;
    for (int64_t k = 0; k < nets_; ++k) {
        if (!is_set(mask.data(), k)) continue;
        fill(program_.gradient.at, program_.gradient.n, k, T(0));
        at(program_.pending)[k] = T(0);
    }
}

template <class T>
void Stepper<T>::learn(bool hit) {
    if (hit) {
        if (program_.at_once) clear_gradient();
        rule_->see(*this, hit_.data());
    }
    run_code(program_.traces);
    if (hit && program_.at_once) change(hit_);
    if (hit && !program_.at_once)
        for (int64_t k = 0; k < nets_; ++k)
            if (is_set(hit_.data(), k)) at(program_.pending)[k] = T(1);
    if (decay_ != T(1))
        for (int64_t k = 0; k < nets_; ++k)
            if (takes_[size_t(k)]) at(program_.rate)[k] *= decay_;
}

template <class T>
void Stepper<T>::begin(const Call<T>& call) {
    nets_ = std::min(call.nets - first_, kNets<T>);
    next_end_ = 0;
    moment_.hot = call.hot ? hot_.data() : nullptr;
}

template <class T>
void Stepper<T>::run(const Call<T>& call) {
    begin(call);
    for (int64_t t = 0; t < call.steps; ++t) {
        wake(call, t);
        find_active(call, t);
        start(call, t);
        if (!any_of(takes_.data())) continue;
        read_input(call, t);
        run_code(program_.forward);
        write_output(call, t);
        const bool hit = call.has_targets() && find_errors(call, t);
        if (call.learns) learn(hit);
        for (const State& s : program_.states)
            kernels_.commit(at(s.rows.at), at(s.fresh), s.rows.n, moment_.active);
        if (hit && call.tolerance >= T(0)) rest(call);
    }
}

template <class T>
void Stepper<T>::jacobian(const Call<T>& call, T* result) {
    begin(call);
    find_active(call, 0);
    std::vector<T> kept(at(program_.gradient.at), at(program_.gradient.at + program_.gradient.n));
    read_input(call, 0);
    run_code(program_.forward);
    write_output(call, 0);
    for (int64_t k = 0; k < program_.output.n; ++k) {
        clear_gradient();
        seed_output(k);
        differentiate();
        std::copy_n(at(program_.gradient.at), kept.size(), result + k * int64_t(kept.size()));
    }
    std::copy(kept.begin(), kept.end(), at(program_.gradient.at));
}

template <class T>
void Stepper<T>::finish() {
    nets_ = kNets<T>;
    for (int64_t k = 0; k < nets_; ++k) set(starting_, k, at(program_.pending)[k] != T(0));
    if (any(starting_)) change(starting_);
}

template class Stepper<float>;
template class Stepper<double>;

}  // namespace carousel::online
