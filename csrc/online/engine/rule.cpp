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
        if (!stepper.hot() || velocity_ != kNone || !p.at_once) return descend(stepper, {0, p.weights.n}, mask);
        for (const Rows& r : p.touched.wholly) descend(stepper, r, mask);
        for (const Matrix& m : p.touched.columns) descend_columns(stepper, m, mask);
    }

  private:
    void descend(Stepper<T>& stepper, Rows r, const T* mask) const {
        const OnlineProgram& p = stepper.program();
        stepper.kernels().descend(stepper.at(p.weights.at + r.at), stepper.at(p.gradient.at + r.at),
                                  velocity_ == kNone ? nullptr : stepper.at(velocity_ + r.at), r.n, stepper.at(p.rate),
                                  momentum_, mask);
    }

    // The same for weights of which a step reaches one column a net.
    void descend_columns(Stepper<T>& stepper, const Matrix& m, const T* mask) const {
        const OnlineProgram& p = stepper.program();
        const T* rate = stepper.at(p.rate);
        for (int64_t r = 0; r < m.rows; ++r) {
            T* w = stepper.at(p.weights.at + m.at + r * m.columns);
            const T* g = stepper.at(p.gradient.at + m.at + r * m.columns);
            for (int64_t k = 0; k < kNets<T>; ++k)
                if (stepper.hot()[k] >= 0 && stepper.is_set(mask, k)) {
                    const int64_t i = stepper.hot()[k] * kNets<T> + k;
                    w[i] -= g[i] * rate[k];
                }
        }
    }

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
