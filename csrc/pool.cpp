#include "pool.hpp"

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace carousel {
namespace {

std::atomic<Pool*> current{nullptr};

// The child of a fork has none of the threads: it starts with a new pool, and the old one is left alone.
void renew() { current.store(new Pool, std::memory_order_release); }

}  // namespace

Pool& Pool::instance() {
    static const bool once = [] {
        renew();
#if !defined(_WIN32)
        pthread_atfork(nullptr, nullptr, renew);
#endif
        return true;
    }();
    (void)once;
    return *current.load(std::memory_order_acquire);
}

void Pool::run(int threads, Work work, void* context) {
    if (threads <= 1) return work(context, 0);
    std::lock_guard<std::mutex> use(users_);
    for (; started_ < threads - 1; ++started_) std::thread(&Pool::serve, this, started_ + 1).detach();
    work_ = work;
    context_ = context;
    unfinished_.store(threads - 1, std::memory_order_relaxed);
    {
        std::lock_guard<std::mutex> lock(sleeping_);
        uint64_t next = (job_.load(std::memory_order_relaxed) >> 16) + 1;
        job_.store(next << 16 | uint64_t(threads), std::memory_order_release);
    }
    wake_.notify_all();
    work(context, 0);
    wait_until([&] { return unfinished_.load(std::memory_order_acquire) == 0; });
}

void Pool::serve(int number) {
    uint64_t seen = 0;
    for (;;) {
        uint64_t job = seen;
        constexpr int kSpins = 2000;
        for (int i = 0; i < kSpins && job == seen; ++i) {
            job = job_.load(std::memory_order_acquire);
            pause_briefly();
        }
        if (job == seen) {
            std::unique_lock<std::mutex> lock(sleeping_);
            wake_.wait(lock, [&] { return job_.load(std::memory_order_acquire) != seen; });
            job = job_.load(std::memory_order_acquire);
        }
        seen = job;
        if (number >= int(job & 0xffff)) continue;
        work_(context_, number);
        unfinished_.fetch_sub(1, std::memory_order_acq_rel);
    }
}

}  // namespace carousel
