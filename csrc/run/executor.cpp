#include "run/executor.hpp"

#include <memory>
#include <stdexcept>

#include "run/execution.hpp"
#include "run/pages.hpp"

namespace carousel {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("run: " + what); }

}  // namespace

void check_arguments(const Program& program, const Arguments& a) {
    const size_t n = program.externals.size();
    if (a.pointers.size() != n || a.strides.size() != 2 * n)
        fail("the program has " + std::to_string(n) + " externals, but there are " + std::to_string(a.pointers.size()) +
             " pointers and " + std::to_string(a.strides.size()) + " strides (two an external)");
    constexpr int64_t most = int64_t(1) << 31;
    if (a.T < 0 || a.B < 0 || a.T >= most || a.B >= most) fail("T and B must not be negative or exceed 2^31");
    for (int64_t b = 0; a.lengths && b < a.B; ++b)
        if (a.lengths[b] < 0 || a.lengths[b] > a.T)
            fail("length " + std::to_string(a.lengths[b]) + " of row " + std::to_string(b) + " is not in 0.." +
                 std::to_string(a.T));
    for (size_t i = 0; i < n; ++i) {
        const External& e = program.externals[i];
        const bool empty = (e.shape == Shape::step && a.T * a.B == 0) || (e.shape == Shape::batch && a.B == 0);
        if (e.role != Role::in && !a.pointers[i] && !empty) fail("external \"" + e.name + "\" must not be null");
    }
}

namespace {

// One run with all threads, or several side by side with as many threads each.
template <class T>
class Together {
  public:
    Together(const Run* runs, size_t count, int threads_each, const Kernels<T>& kernels) : each_(threads_each) {
        for (size_t i = 0; i < count; ++i) {
            calls_.push_back(std::make_unique<Call<T>>(runs[i].program, runs[i].arguments, threads_each, kernels));
            executions_.emplace_back(*calls_.back());
        }
    }

    // Threads that a grid has no use for come all the same: a team that changes its size is slow to start.
    void run() {
        const bool one_is_enough = calls_.size() == 1 && calls_[0]->layout.grid.threads() == 1;
        run_threads(one_is_enough ? 1 : each_ * int(calls_.size()),
                    [](void* self, int number) { static_cast<Together*>(self)->run(number); }, this);
    }

  private:
    void run(int number) { executions_[size_t(number / each_)].run(number % each_); }

    const int each_;
    std::vector<std::unique_ptr<Call<T>>> calls_;
    std::vector<Execution<T>> executions_;
};

// What a call writes at every step is as a rule fresh memory.
template <class T>
void expect_outputs(const Program& program, const Arguments& a) {
    for (size_t i = 0; i < program.externals.size(); ++i) {
        const External& e = program.externals[i];
        if (e.role == Role::in || e.shape != Shape::step || !a.pointers[i]) continue;
        const int64_t elements = (a.T - 1) * a.strides[2 * i] + (a.B - 1) * a.strides[2 * i + 1] + e.width;
        advise_large_pages(reinterpret_cast<void*>(a.pointers[i]), elements * int64_t(sizeof(T)));
    }
}

}  // namespace

template <class T>
void run_programs(std::vector<Run>& runs, int threads, const Kernels<T>& kernels) {
    double work = 0;
    for (const Run& run : runs) {
        check_arguments(run.program, run.arguments);
        expect_outputs<T>(run.program, run.arguments);
        work += work_of(run.program, run.arguments.total_rows());
    }
    if (threads < 1) fail("threads is " + std::to_string(threads) + ", expected at least 1");
    const int count = int(runs.size());
    if (count > 1 && threads % count == 0 && threads_worth(work, threads) >= count)
        Together<T>(runs.data(), runs.size(), threads / count, kernels).run();
    else
        for (const Run& run : runs) Together<T>(&run, 1, threads, kernels).run();
}

template void run_programs(std::vector<Run>&, int, const Kernels<float>&);
template void run_programs(std::vector<Run>&, int, const Kernels<double>&);

}  // namespace carousel
