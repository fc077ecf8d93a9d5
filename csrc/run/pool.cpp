#include "run/pool.hpp"

#if !defined(_WIN32)
#include <dlfcn.h>
#include <pthread.h>
#endif
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__
#endif
#endif

namespace carousel {
namespace {

std::atomic<Pool*> current{nullptr};

// The child of a fork has none of the threads: it starts with a new pool, and the old one is left alone.
void renew() { current.store(new Pool, std::memory_order_release); }

// The OpenMP runtime that PyTorch brought (GNU's), if there is one; we link against none.
struct Team {
    using Parallel = void (*)(void (*)(void*), void*, unsigned threads, unsigned flags);
    using Number = int (*)();
    Parallel parallel = nullptr;
    Number thread_number = nullptr, team_size = nullptr;
};

std::atomic<bool> forked{false};

Team find_team() {
    Team team;
#if !defined(_WIN32) && !defined(__SANITIZE_THREAD__)  // which does not see how that runtime synchronises
    team.parallel = reinterpret_cast<Team::Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    team.thread_number = reinterpret_cast<Team::Number>(dlsym(RTLD_DEFAULT, "omp_get_thread_num"));
    team.team_size = reinterpret_cast<Team::Number>(dlsym(RTLD_DEFAULT, "omp_get_num_threads"));
    if (!team.thread_number || !team.team_size) team.parallel = nullptr;
#endif
    return team;
}

struct Job {
    const Team* team;
    int threads;
    Work work;
    void* context;
    bool done;
};

// A team may turn out smaller than asked for (limits of the runtime, a call from within a team): then nobody works.
void join_job(void* data) {
    Job& job = *static_cast<Job*>(data);
    if (job.team->team_size() < job.threads) return;
    const int number = job.team->thread_number();
    job.work(job.context, number);
    if (number == 0) job.done = true;
}

}  // namespace

void run_threads(int threads, Work work, void* context) {
    if (threads <= 1) return work(context, 0);
    Pool& pool = Pool::instance();
    if (!forked.load(std::memory_order_relaxed)) {
        const Team team = find_team();
        Job job{&team, threads, work, context, false};
        if (team.parallel) team.parallel(join_job, &job, unsigned(threads), 0);
        if (job.done) return;
    }
    pool.run(threads, work, context);
}

Pool& Pool::instance() {
    static const bool once = [] {
        renew();
#if !defined(_WIN32)
        pthread_atfork(nullptr, nullptr, [] {
            forked.store(true, std::memory_order_relaxed);
            renew();
        });
#endif
        return true;
    }();
    (void)once;
    return *current.load(std::memory_order_acquire);
}

void Pool::run(int threads, Work work, void* context) {
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
