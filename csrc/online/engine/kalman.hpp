// The decoupled extended Kalman filter (Puskorius & Feldkamp, 1994; for the LSTM Perez-Ortiz, Gers, Eck & Schmidhuber,
// 2003). Weights are in groups g, each with a covariance K_g; C_g are the derivatives of the outputs with respect to
// them, e is target minus output, R = r I and Q = q I are the noises of measurement and of the process:
//     A = (R + sum_g C_g' K_g C_g)^-1,  G_g = K_g C_g A,  w_g += G_g e,  K_g = K_g - G_g C_g' K_g + Q.
#pragma once
#include <vector>

#include "program/json.hpp"
#include "online/engine/rule.hpp"
#include "online/engine/stepper.hpp"

namespace carousel::online {

template <class T>
class Kalman : public Rule<T> {
  public:
    Kalman(const Json& json, const OnlineProgram& program);

    void see(Stepper<T>& stepper, const T* mask) override;
    void change(Stepper<T>& stepper, const T* mask) override;

  private:
    struct Group {
        std::vector<int64_t> weights;  // numbers of weights
        int64_t covariance;            // the place of K
        std::vector<T> c, kc;          // C transposed, and K C
    };
    // A noise goes from the first to the second value, by the same factor at each of the first `steps_` steps.
    struct Noise {
        double first, last;
    };

    Noise noise(const Json& json, const char* name) const;
    void spread(const Noise& noise, const T* seen, T* to) const;

    int64_t outputs_, seen_;
    double steps_;
    Noise measurement_, process_;
    std::vector<Group> groups_;
    std::vector<T> s_, gain_, error_, r_, q_;
};

}  // namespace carousel::online
