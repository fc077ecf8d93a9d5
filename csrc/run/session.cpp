#include "run/session.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "run/execution.hpp"

namespace carousel {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("session: " + what); }

template <class T>
Run only_run(const Binding& binding, const std::vector<Tensor>& tensors) {
    std::vector<Run> runs = binding.runs(tensors, sizeof(T));
    if (runs.size() != 1 || runs[0].arguments.reverse || runs[0].program.backward || runs[0].program.reduces())
        fail("a binding of something else than one forward program that runs forwards");
    return runs[0];
}

template <class T>
struct PackedProgram : Packed {
    PackedProgram(const Binding& binding, const Run& run, const Kernels<T>& kernels)
        : binding(binding), program(run.program), weights(run.program, run.arguments, kernels) {}

    const Binding& binding;
    const Program& program;
    const PackedWeights<T> weights;
};

template <class T>
std::shared_ptr<Packed> pack_program(const Binding& binding, const std::vector<Tensor>& tensors, const Kernels<T>& kernels) {
    const Run run = only_run<T>(binding, tensors);
    constexpr int64_t most = int64_t(1) << 16;  // products of bytes with a larger sum leave 32 bits
    for (const MatrixUse& m : run.program.matrices)
        if (kernels.head && m.k > most) fail("a matrix of " + std::to_string(m.k) + " columns is too large for int8");
    return std::make_shared<PackedProgram<T>>(binding, run, kernels);
}

template <class T>
class Layer {
  public:
    Layer(std::shared_ptr<const PackedProgram<T>> packed, Arguments arguments, int threads)
        : packed_(std::move(packed)),
          arguments_(std::move(arguments)),
          call_(packed_->program, arguments_, threads, packed_->weights.kernels, &packed_->weights),
          execution_(call_) {}

    int threads() const { return call_.layout.grid.threads(); }

    void run(int number) {
        if (number < threads()) execution_.sweep(call_.threads[size_t(number)]);
    }

  private:
    const std::shared_ptr<const PackedProgram<T>> packed_;
    const Arguments arguments_;
    Call<T> call_;
    Execution<T> execution_;
};

template <class T>
class Stack : public Session {
  public:
    Stack(void* x, size_t bytes_of_x) : x_(x), bytes_of_x_(bytes_of_x) {}

    void add(const std::shared_ptr<Packed>& layer, const std::vector<Tensor>& tensors, int64_t T_, int64_t B, int threads) {
        auto packed = std::dynamic_pointer_cast<const PackedProgram<T>>(layer);
        if (!packed) fail("layers of different dtypes");
        Arguments arguments = only_run<T>(packed->binding, tensors).arguments;
        arguments.T = T_;
        arguments.B = B;
        check_arguments(packed->program, arguments);
        layers_.push_back(std::make_unique<Layer<T>>(packed, std::move(arguments), threads));
        threads_ = std::max(threads_, layers_.back()->threads());
        between_.reset(threads_);
    }

    void run(const void* x) override {
        if (bytes_of_x_) std::memcpy(x_, x, bytes_of_x_);  // of no steps there is nothing, not even an address
        run_threads(threads_, [](void* self, int number) { static_cast<Stack*>(self)->run(number); }, this);
    }

  private:
    void run(int number) {
        for (size_t i = 0; i < layers_.size(); ++i) {
            if (i) between_.wait();
            layers_[i]->run(number);
        }
    }

    void* const x_;
    const size_t bytes_of_x_;
    std::vector<std::unique_ptr<Layer<T>>> layers_;
    int threads_ = 1;
    Barrier between_;
};

}  // namespace

std::shared_ptr<Packed> pack(const Binding& binding, const std::vector<Tensor>& tensors, const Kernels<float>& kernels) {
    return pack_program(binding, tensors, kernels);
}

std::shared_ptr<Packed> pack(const Binding& binding, const std::vector<Tensor>& tensors, const Kernels<double>& kernels) {
    return pack_program(binding, tensors, kernels);
}

std::unique_ptr<Session> make_session(const std::vector<std::pair<std::shared_ptr<Packed>, std::vector<Tensor>>>& layers,
                                      int64_t T, int64_t B, void* x, size_t bytes_of_x, int threads) {
    if (layers.empty()) fail("there are no layers");
    if (threads < 1) fail("threads is " + std::to_string(threads) + ", expected at least 1");
    auto stacked = [&](auto stack) -> std::unique_ptr<Session> {
        for (const auto& [packed, tensors] : layers) stack->add(packed, tensors, T, B, threads);
        return stack;
    };
    if (std::dynamic_pointer_cast<const PackedProgram<float>>(layers[0].first))
        return stacked(std::make_unique<Stack<float>>(x, bytes_of_x));
    return stacked(std::make_unique<Stack<double>>(x, bytes_of_x));
}

}  // namespace carousel
