// What changes the weights. A rule is told twice of each step with a target: before the sensitivities move on, when
// derivatives can be asked for, and when the weights are to change.
#pragma once
#include <memory>

#include "online/engine/program.hpp"

namespace carousel::online {

template <class T>
class Stepper;

template <class T>
class Rule {
  public:
    virtual ~Rule() = default;

    // There are targets for the nets of `mask` (all bits set, or none).
    virtual void see(Stepper<T>& stepper, const T* mask) = 0;

    // The weights of the nets of `mask` change: at once, or when their next sequence starts.
    virtual void change(Stepper<T>& stepper, const T* mask) = 0;
};

// The rule of a program. Throws std::invalid_argument for one that is not there, or that leads outside of a block.
template <class T>
std::unique_ptr<Rule<T>> make_rule(const OnlineProgram& program);

}  // namespace carousel::online
