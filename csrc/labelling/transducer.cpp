#include "labelling/transducer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "run/pool.hpp"

namespace carousel {
namespace {

constexpr double kZero = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
    if (a < b) std::swap(a, b);
    return b == kZero ? a : a + std::log1p(std::exp(b - a));
}

// One sample's lattice of T frames and U labels, in the arrays of a batch.
template <class Float>
struct Lattice {
    Float *blank, *label;
    int64_t stride, T, U;  // from one frame to the next

    Float& at(Float* values, int64_t t, int64_t u) const { return values[t * stride + u]; }

    // alpha (T, U + 1): the probability to get to (t, u), equation 16. Returns ln p.
    double forward(std::vector<double>& alpha) const {
        alpha.assign(T * (U + 1), kZero);
        alpha[0] = 0;
        for (int64_t t = 0; t < T; ++t)
            for (int64_t u = 0; u <= U; ++u) {
                double& here = alpha[t * (U + 1) + u];
                if (t > 0) here = alpha[(t - 1) * (U + 1) + u] + at(blank, t - 1, u);
                if (u > 0) here = log_add(here, alpha[t * (U + 1) + u - 1] + at(label, t, u - 1));
            }
        return alpha[T * (U + 1) - 1] + at(blank, T - 1, U);
    }

    // From the last frame to the first with beta, the probability to get from (t, u) to the end (equation 18), of which
    // two frames are kept; log-probabilities are replaced by derivatives (equation 20).
    void backward(const std::vector<double>& alpha, double log_prob, int64_t width) const {
        std::vector<double> later(U + 1, kZero), here(U + 1);
        later[U] = 0;  // after the last frame
        for (int64_t t = T - 1; t >= 0; --t) {
            for (int64_t u = U; u >= 0; --u) {
                const double go = at(blank, t, u) + later[u];
                const double write = u < U ? at(label, t, u) + here[u + 1] : kZero;
                here[u] = log_add(go, write);
                const double reached = alpha[t * (U + 1) + u] - log_prob;
                at(blank, t, u) = Float(-std::exp(reached + go));
                at(label, t, u) = Float(-std::exp(reached + write));
            }
            std::swap(here, later);
            clear(t, U + 1, width);
        }
    }

    void clear(int64_t t, int64_t u, int64_t end) const {
        for (; u < end; ++u) at(blank, t, u) = at(label, t, u) = 0;
    }
};

template <class Float>
struct Call {
    Float *blank, *label;
    int64_t T, B, U1;
    const int64_t *frames, *labels;
    Float* losses;
    int threads;

    static void work(void* call, int thread) {
        const Call& own = *static_cast<Call*>(call);
        std::vector<double> alpha;
        for (int64_t b = thread; b < own.B; b += own.threads) own.sample(b, alpha);
    }

    void sample(int64_t b, std::vector<double>& alpha) const {
        const Lattice<Float> lattice{blank + b * U1, label + b * U1, B * U1, frames[b], labels[b]};
        const double log_prob = lattice.forward(alpha);
        losses[b] = Float(-log_prob);
        lattice.backward(alpha, log_prob, U1);
        for (int64_t t = frames[b]; t < T; ++t) lattice.clear(t, 0, U1);
    }
};

}  // namespace

template <class Float>
void transducer_losses(Float* blank, Float* label, int64_t T, int64_t B, int64_t U1, const int64_t* frames,
                       const int64_t* labels, Float* losses, int threads) {
    threads = int(std::max<int64_t>(1, std::min<int64_t>(threads, B)));
    Call<Float> call{blank, label, T, B, U1, frames, labels, losses, threads};
    run_threads(threads, Call<Float>::work, &call);
}

template void transducer_losses(float*, float*, int64_t, int64_t, int64_t, const int64_t*, const int64_t*, float*, int);
template void transducer_losses(double*, double*, int64_t, int64_t, int64_t, const int64_t*, const int64_t*, double*, int);

}  // namespace carousel
