#include "online/engine/blocks.hpp"

#include <algorithm>
#include <stdexcept>

#include "run/pool.hpp"

namespace carousel::online {
namespace {

template <class T>
struct Job {
    const Blocks<T>& blocks;
    const Call<T>& call;
    int threads;
};

template <class T>
void work(void* context, int thread) {
    const Job<T>& job = *static_cast<const Job<T>*>(context);
    for (int64_t k = thread; k < job.blocks.count(); k += job.threads) job.blocks.stepper(k).run(job.call);
}

void check_indices(const int32_t* given, int64_t count, int64_t width, const char* what) {
    for (int64_t i = 0; given && i < count; ++i)
        if (given[i] < -1 || given[i] >= width)
            throw std::invalid_argument(std::string(what) + ": index " + std::to_string(given[i]) +
                                        ", expected -1 to " + std::to_string(width - 1));
}

}  // namespace

template <class T>
void Blocks<T>::check(const Call<T>& call) const {
    check_indices(call.hot, call.steps * nets, program.input.n, "inputs");
    check_indices(call.hot_targets, call.steps * nets, program.output.n, "targets");
}

template <class T>
void Blocks<T>::prepare() const {
    for (int64_t k = 0; k < count(); ++k) stepper(k).prepare();
}

template <class T>
void Blocks<T>::finish() const {
    for (int64_t k = 0; k < count(); ++k) stepper(k).finish();
}

template <class T>
void Blocks<T>::run(const Call<T>& call, int threads) const {
    check(call);
    Job<T> job{*this, call, int(std::clamp<int64_t>(threads, 1, std::max<int64_t>(count(), 1)))};
    if (job.threads == 1) return work<T>(&job, 0);
    run_threads(job.threads, work<T>, &job);
}

template <class T>
void Blocks<T>::jacobian(const Call<T>& call, T* result) const {
    check(call);
    const int64_t each = program.output.n * program.weights.n * kNets<T>;
    for (int64_t k = 0; k < count(); ++k) stepper(k).jacobian(call, result + k * each);
}

template struct Blocks<float>;
template struct Blocks<double>;

}  // namespace carousel::online
