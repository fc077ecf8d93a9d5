#include "online/engine/kalman.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace carousel::online {

template <class T>
Kalman<T>::Kalman(const Json& json, const OnlineProgram& program)
    : outputs_(program.output.n),
      seen_(json.member("seen").integer("seen")),
      steps_(json.member("anneal").number("anneal")),
      measurement_(noise(json, "measurement_noise")),
      process_(noise(json, "process_noise")),
      s_(size_t(outputs_ * outputs_ * kNets<T>)),
      error_(size_t(outputs_ * kNets<T>)),
      r_(size_t(kNets<T>)),
      q_(r_) {
    const auto fail = [](const char* what) { throw std::invalid_argument(std::string("online program: ") + what); };
    int64_t at = json.member("covariance").integer("covariance"), largest = 0;
    if (seen_ < 0 || seen_ >= program.size || at < 0) fail("what the filter keeps lies outside");
    for (const Json& j : json.member("groups").array("groups")) {
        Group group;
        for (const Json& weight : j.array("group")) group.weights.push_back(weight.integer("weight"));
        const int64_t n = int64_t(group.weights.size());
        for (int64_t weight : group.weights)
            if (weight < 0 || weight >= program.weights.n) fail("a group has a weight that is not there");
        group.covariance = at;
        if ((at += n * n) > program.size) fail("a covariance lies outside");
        group.c.resize(size_t(n * outputs_ * kNets<T>));
        group.kc.resize(group.c.size());
        largest = std::max(largest, n);
        groups_.push_back(std::move(group));
    }
    gain_.resize(size_t(largest * outputs_ * kNets<T>));
}

template <class T>
typename Kalman<T>::Noise Kalman<T>::noise(const Json& json, const char* name) const {
    const auto& both = json.member(name).array(name, 2);
    return {both[0].number(name), both[1].number(name)};
}

// The derivatives of one output after the other. The gradient is left as that of the squared error.
template <class T>
void Kalman<T>::see(Stepper<T>& stepper, const T*) {
    const Rows weights = stepper.program().weights;
    std::vector<T> total(size_t(weights.n * kNets<T>), T(0));
    T* gradient = stepper.at(stepper.program().gradient.at);
    for (int64_t k = 0; k < outputs_; ++k) {
        stepper.clear_gradient();
        stepper.seed_output(k);
        stepper.differentiate();
        const T* error = stepper.error(k);
        for (int64_t net = 0; net < kNets<T>; ++net) error_[size_t(k * kNets<T> + net)] = -error[net];
        for (size_t i = 0; i < total.size(); ++i) total[i] += error[i % size_t(kNets<T>)] * gradient[i];
        for (Group& group : groups_) {
            T* to = group.c.data() + k * int64_t(group.weights.size()) * kNets<T>;
            for (int64_t weight : group.weights) to = std::copy_n(gradient + weight * kNets<T>, kNets<T>, to);
        }
    }
    std::copy(total.begin(), total.end(), gradient);
}

template <class T>
void Kalman<T>::spread(const Noise& noise, const T* seen, T* to) const {
    for (int64_t net = 0; net < kNets<T>; ++net) {
        const double way = steps_ > 0 ? std::min(1.0, double(seen[net]) / steps_) : 1.0;
        to[net] = T(noise.last == noise.first ? noise.last : noise.first * std::pow(noise.last / noise.first, way));
    }
}

template <class T>
void Kalman<T>::change(Stepper<T>& stepper, const T* mask) {
    const auto& kernels = stepper.kernels();
    T* seen = stepper.at(seen_);
    spread(measurement_, seen, r_.data());
    spread(process_, seen, q_.data());
    std::fill(s_.begin(), s_.end(), T(0));
    for (int64_t k = 0; k < outputs_; ++k) std::copy(r_.begin(), r_.end(), s_.begin() + k * (outputs_ + 1) * kNets<T>);
    for (Group& g : groups_)
        kernels.measure(stepper.at(g.covariance), g.c.data(), g.kc.data(), s_.data(), int64_t(g.weights.size()), outputs_);
    kernels.invert(s_.data(), outputs_);
    T* weights = stepper.at(stepper.program().weights.at);
    for (Group& g : groups_)
        kernels.correct(weights, g.weights.data(), stepper.at(g.covariance), g.kc.data(), s_.data(), error_.data(),
                        q_.data(), int64_t(g.weights.size()), outputs_, gain_.data(), mask);
    const unsigned char* bytes = reinterpret_cast<const unsigned char*>(mask);
    for (int64_t net = 0; net < kNets<T>; ++net) seen[net] += T(bytes[size_t(net) * sizeof(T)] != 0);
}

template class Kalman<float>;
template class Kalman<double>;

}  // namespace carousel::online
