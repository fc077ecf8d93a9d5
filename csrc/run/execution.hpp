// One thread's way through a call.
#pragma once
#include <algorithm>

#include "run/boundaries.hpp"
#include "run/call.hpp"
#include "run/reducer.hpp"
#include "run/stepper.hpp"

namespace carousel {

template <class T>
class Execution {
  public:
    explicit Execution(Call<T>& call) : call_(call), stepper_(call), boundaries_(call), reducer_(call) {}

    void run(int number) {
        if (number >= call_.layout.grid.threads()) return;
        Thread<T>& me = call_.threads[size_t(number)];
        boundaries_.clear_sums(me);
        pack_weights(me);
        call_.meet_all();
        sweep(me);
    }

    // All steps, once the weights are packed and sums are zero.
    void sweep(Thread<T>& me) {
        const bool downwards = call_.time.reverse != call_.program.backward;
        const int64_t steps = call_.layout.block_steps, all = call_.time.T;
        for (int64_t done = 0; done < all; done += steps) {
            const int64_t n = std::min(steps, all - done);
            run_block(me, downwards ? Block{all - done - n, all - done} : Block{done, done + n}, downwards);
        }
        boundaries_.finish(me);
    }

  private:
    void pack_weights(const Thread<T>& me) {
        if (call_.packed_before) return;
        int64_t panel = 0;
        for (const Weight<T>& w : call_.weights)
            for (int64_t p = 0; w.packed && p < panels_of(w.n); ++p)
                if (panel++ % call_.layout.grid.threads() == me.number) call_.kernels.pack(w, p);
    }

    void run_block(Thread<T>& me, Block block, bool downwards) {
        boundaries_.clear_past_ends(me, block);
        stepper_.section(me, call_.program.before, block);
        for (int64_t i = 0; i < block.last - block.first; ++i)
            step(me, downwards ? block.last - 1 - i : block.first + i, block);
        call_.meet(me);
        stepper_.section(me, call_.program.after, block);
        if (!call_.program.reduces()) return;
        call_.meet_all();
        reducer_.reduce(me, block);
        call_.meet_all();
    }

    void step(Thread<T>& me, int64_t t, Block block) {
        const int64_t rows = call_.band_of(me).running(call_.time, t);
        if (!rows) return;
        stepper_.step(me, t, rows, block);
        call_.program.backward ? boundaries_.deliver(me, t, rows) : boundaries_.keep_final(me, t, rows);
    }

    Call<T>& call_;
    Stepper<T> stepper_;
    Boundaries<T> boundaries_;
    Reducer<T> reducer_;
};

}  // namespace carousel
