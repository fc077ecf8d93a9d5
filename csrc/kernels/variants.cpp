#include "kernels/variants.hpp"

#include <atomic>
#include <stdexcept>
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#define CAROUSEL_AMX
#endif

namespace carousel {

#define CAROUSEL_DECLARE(name)                             \
    extern const Kernels<float> kernels_##name##_float;    \
    extern const Kernels<double> kernels_##name##_double;  \
    extern const Kernels<float> kernels_##name##_bfloat16; \
    extern const Kernels<float> kernels_##name##_split;    \
    extern const Kernels<float> kernels_##name##_int8;     \
    extern const online::OnlineKernels<double> online_##name##_double; \
    extern const online::OnlineKernels<float> online_##name##_float
#define CAROUSEL_VARIANT(name)      \
    {#name, &kernels_##name##_double, \
     {&kernels_##name##_float, &kernels_##name##_bfloat16, &kernels_##name##_split, &kernels_##name##_int8}, \
     &online_##name##_double, &online_##name##_float}

#if defined(__aarch64__)
CAROUSEL_DECLARE(neon);
#else
CAROUSEL_DECLARE(baseline);
#if defined(__x86_64__)
CAROUSEL_DECLARE(avx2);
CAROUSEL_DECLARE(avx512);
#define CAROUSEL_DECLARE_BFLOAT16(name)                    \
    extern const Kernels<float> kernels_##name##_bfloat16; \
    extern const Kernels<float> kernels_##name##_split
#define CAROUSEL_VARIANT_BFLOAT16(name)            \
    {#name, &kernels_avx512_double,                \
     {&kernels_avx512_float, &kernels_##name##_bfloat16, &kernels_##name##_split, &kernels_avx512bf16_int8}, \
     &online_avx512_double, &online_avx512_float}
CAROUSEL_DECLARE_BFLOAT16(avx512bf16);
extern const Kernels<float> kernels_avx512bf16_int8;
#if defined(CAROUSEL_AMX)
CAROUSEL_DECLARE_BFLOAT16(amx);
CAROUSEL_DECLARE_BFLOAT16(amx_emulated);
#endif
#endif
#endif

namespace {

#if defined(CAROUSEL_AMX)
// The system saves tiles only for processes that asked for them, once for all of their threads.
bool has_amx() {
    constexpr unsigned bfloat16 = 1u << 22, tiles = 1u << 24;
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & bfloat16) || !(d & tiles)) return false;
    constexpr int request_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#endif

std::vector<Variant> find_variants() {
    std::vector<Variant> found;
    [[maybe_unused]] bool emulates_amx = false;
#if defined(__aarch64__)
    found.push_back(CAROUSEL_VARIANT(neon));
#else
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw")) {
        if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni")) {
#if defined(CAROUSEL_AMX)
            if (has_amx()) found.push_back(CAROUSEL_VARIANT_BFLOAT16(amx));
            emulates_amx = true;
#endif
            found.push_back(CAROUSEL_VARIANT_BFLOAT16(avx512bf16));
        }
        found.push_back(CAROUSEL_VARIANT(avx512));
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(CAROUSEL_VARIANT(avx2));
#endif
    found.push_back(CAROUSEL_VARIANT(baseline));
#endif
#if defined(CAROUSEL_AMX)
    if (emulates_amx) found.push_back(CAROUSEL_VARIANT_BFLOAT16(amx_emulated));  // the last: only if it is named
#endif
    return found;
}

std::atomic<const Variant*> chosen{nullptr};

}  // namespace

const std::vector<Variant>& variants() {
    static const std::vector<Variant> found = find_variants();
    return found;
}

const Variant& variant() {
    const Variant* v = chosen.load(std::memory_order_acquire);
    return v ? *v : variants().front();
}

void set_variant(const std::string& name) {
    std::string names;
    for (const Variant& v : variants()) {
        if (name == v.name) return chosen.store(&v, std::memory_order_release);
        names += std::string(names.empty() ? "" : ", ") + v.name;
    }
    throw std::invalid_argument("set_variant: \"" + name + "\" cannot run here, expected one of " + names);
}

}  // namespace carousel
