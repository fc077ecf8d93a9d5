#include "variants.hpp"

#include <atomic>
#include <stdexcept>

namespace carousel {

#define CAROUSEL_DECLARE(name)                             \
    extern const Kernels<float> kernels_##name##_float;    \
    extern const Kernels<double> kernels_##name##_double;  \
    extern const Kernels<float> kernels_##name##_bfloat16; \
    extern const Kernels<float> kernels_##name##_int8
#define CAROUSEL_VARIANT(name) \
    {#name, &kernels_##name##_double, {&kernels_##name##_float, &kernels_##name##_bfloat16, &kernels_##name##_int8}}

#if defined(__aarch64__)
CAROUSEL_DECLARE(neon);
#else
CAROUSEL_DECLARE(baseline);
#if defined(__x86_64__)
CAROUSEL_DECLARE(avx2);
CAROUSEL_DECLARE(avx512);
extern const Kernels<float> kernels_avx512bf16_bfloat16;
extern const Kernels<float> kernels_avx512bf16_int8;
#endif
#endif

namespace {

std::vector<Variant> find_variants() {
    std::vector<Variant> found;
#if defined(__aarch64__)
    found.push_back(CAROUSEL_VARIANT(neon));
#else
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw")) {
        if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni"))
            found.push_back({"avx512bf16",
                             &kernels_avx512_double,
                             {&kernels_avx512_float, &kernels_avx512bf16_bfloat16, &kernels_avx512bf16_int8}});
        found.push_back(CAROUSEL_VARIANT(avx512));
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(CAROUSEL_VARIANT(avx2));
#endif
    found.push_back(CAROUSEL_VARIANT(baseline));
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
