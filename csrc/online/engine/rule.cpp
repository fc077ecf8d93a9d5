#include "online/engine/rule.hpp"

#include <stdexcept>

#include "online/engine/kalman.hpp"
#include "online/engine/stepper.hpp"

namespace carousel::online {
namespace {

// v = momentum * v - rate * gradient of the loss, w += v
template <class T>
class GradientDescent : public Rule<T> {
  public:
    GradientDescent(const Json& json, const OnlineProgram& program)
        : momentum_(T(json.member("momentum").number("momentum"))), velocity_(json.member("velocity").integer("velocity")) {
        if (velocity_ != kNone && (velocity_ < 0 || program.weights.n > program.size - velocity_))
            throw std::invalid_argument("online program: velocity lies outside");
    }

    void see(Stepper<T>& stepper, const T*) override {
        stepper.seed_loss();
        stepper.differentiate();
    }

    void change(Stepper<T>& stepper, const T* mask) override {
        const OnlineProgram& p = stepper.program();
        stepper.kernels().descend(stepper.at(p.weights.at), stepper.at(p.gradient.at),
                                  velocity_ == kNone ? nullptr : stepper.at(velocity_), p.weights.n, stepper.at(p.rate),
                                  momentum_, mask);
    }

  private:
    T momentum_;
    int64_t velocity_;
};

}  // namespace

template <class T>
std::unique_ptr<Rule<T>> make_rule(const OnlineProgram& program) {
    const std::string& name = program.rule.member("name").string("rule");
    if (name == "sgd") return std::make_unique<GradientDescent<T>>(program.rule, program);
    if (name == "kalman") return std::make_unique<Kalman<T>>(program.rule, program);
    throw std::invalid_argument("online program: there is no rule " + name);
}

template std::unique_ptr<Rule<float>> make_rule(const OnlineProgram&);
template std::unique_ptr<Rule<double>> make_rule(const OnlineProgram&);

}  // namespace carousel::online
