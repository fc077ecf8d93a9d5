// Threads for one call. Where PyTorch is loaded, they are those that it runs its own operations on: after each of them
// these threads keep a core busy for some milliseconds, in wait of the next, and other threads would have to fight them
// for it. Elsewhere, and in a forked child, where PyTorch's are gone, a small pool of our own does it.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace carousel {

inline void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Spins for a moment, then gives the processor away: the other threads may need this core to get anywhere.
template <class F>
void wait_until(F ready) {
    constexpr int kSpins = 2000;
    for (int i = 0; !ready(); ++i) i < kSpins ? pause_briefly() : std::this_thread::yield();
}

class Barrier {
  public:
    void reset(int threads) { threads_ = threads; }

    void wait() {
        if (threads_ <= 1) return;
        uint32_t round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
        } else {
            wait_until([&] { return round_.load(std::memory_order_acquire) != round; });
        }
    }

  private:
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<uint32_t> round_{0};
    int threads_ = 1;
};

using Work = void (*)(void* context, int thread);

// Calls work(context, 0..threads - 1) at the same time, the caller being thread 0.
void run_threads(int threads, Work work, void* context);

// Our own: parked when idle, shared by all calls, new in a forked child.
class Pool {
  public:
    static Pool& instance();

    // One call at a time; others wait.
    void run(int threads, Work work, void* context);

  private:
    void serve(int number);

    std::mutex users_;                // held by the call that is using the pool
    std::mutex sleeping_;             // guards parking only
    std::condition_variable wake_;
    int started_ = 0;
    std::atomic<uint64_t> job_{0};    // number of the job times 2^16, plus how many threads it has
    std::atomic<int> unfinished_{0};
    Work work_ = nullptr;
    void* context_ = nullptr;
};

}  // namespace carousel
