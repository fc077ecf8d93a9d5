// One block of nets, step after step.
#pragma once
#include <memory>
#include <vector>

#include "online/engine/program.hpp"
#include "online/engine/rule.hpp"

namespace carousel::online {

// A call: T steps of N nets. Inputs are (T, N, D) numbers or, where `hot` is given, (T, N) indices; targets likewise.
// Null: none of `targets` and `hot_targets` (no errors), `when` (a target at every step), `starts` (no sequence
// starts), `lengths` (every net takes all steps), `begins` (none where a net that rests may begin again).
template <class T>
struct Call {
    int64_t steps, nets;
    const T* inputs;
    const int32_t* hot;
    const T* targets;
    const int32_t* hot_targets;
    const uint8_t *when, *starts;
    const int64_t* lengths;
    const uint8_t* begins;
    T* outputs;      // (T, N, K), left alone where a net takes no step
    uint8_t* taken;  // (T, N), 1 where a net takes the step
    bool learns;
    T tolerance;  // a net that is off by more rests until it begins again; below 0: none rests

    bool has_targets() const { return targets || hot_targets; }
};

template <class T>
class Stepper {
  public:
    // `block` is that of nets first..first + kNets.
    Stepper(const OnlineProgram& program, const OnlineKernels<T>& kernels, T* block, int64_t first);

    // Sets the constants, and the states, as a sequence starts.
    void prepare();
    void run(const Call<T>& call);
    // The derivatives of each output of one step, not taken, with respect to all weights: (outputs, weights, nets).
    void jacobian(const Call<T>& call, T* result);
    // What is collected of the sequence so far changes the weights.
    void finish();

    // -- for rules

    const OnlineProgram& program() const { return program_; }
    const OnlineKernels<T>& kernels() const { return kernels_; }
    T* at(int64_t place) const { return block_ + place * kNets<T>; }
    // What is to be differentiated: the loss of this step, or one output of all nets.
    void seed_loss();
    void seed_output(int64_t k);
    // Adds the gradients of what is seeded, through all steps so far, to the gradient.
    void differentiate();
    void clear_gradient();
    // For each net the index of the only 1 of its input, or -1; null where the inputs are dense.
    const int32_t* hot() const { return moment_.hot; }
    // Whether the mask holds a net.
    static bool is_set(const T* mask, int64_t net);
    // Output k minus its target, of each net; zero where a net has none.
    const T* error(int64_t k) const { return errors_.data() + k * kNets<T>; }

  private:
    using Mask = std::vector<T>;

    void set(Mask& mask, int64_t net, bool value);
    bool any(const Mask& mask) const;
    bool any_of(const uint8_t* flags) const;
    void begin(const Call<T>& call);
    void wake(const Call<T>& call, int64_t t);
    void rest(const Call<T>& call);
    void find_active(const Call<T>& call, int64_t t);
    void start(const Call<T>& call, int64_t t);
    void restart(int64_t net);
    void restart_states(int64_t net);
    void fill(int64_t place, int64_t n, int64_t net, T value);
    void read_input(const Call<T>& call, int64_t t);
    void write_output(const Call<T>& call, int64_t t);
    bool find_errors(const Call<T>& call, int64_t t);
    void run_code(const std::vector<Instruction>& code);
    void learn(bool hit);
    void change(const Mask& mask);

    const OnlineProgram& program_;
    const OnlineKernels<T>& kernels_;
    T* block_;
    int64_t first_, nets_ = 0;
    std::unique_ptr<Rule<T>> rule_;
    Moment<T> moment_;
    std::vector<int32_t> hot_;
    std::vector<int32_t> last_hot_;  // that of the last gradient
    bool touched_ = false;           // whether the gradient is 0 but for what a step reached with it
    std::vector<uint8_t> takes_;  // the nets that take this step
    std::vector<uint8_t> rests_;  // those that were off by more than the tolerance
    std::vector<uint8_t> wakes_;  // those that begin again with this step
    bool any_rests_ = false;
    int64_t next_end_ = 0;  // the step at which the next of those that take steps has ended
    Mask active_, hit_, starting_;
    std::vector<T> errors_;  // output minus target, zero where there is none
    T decay_;
};

}  // namespace carousel::online
