// Lets a processor run kernels.cu, thread after thread: what CUDA gives a kernel, in plain C++.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __device__
#define __noinline__
using std::max;
using std::min;

struct Index {
    int x, y;
};
static thread_local Index threadIdx, blockIdx, blockDim;

static unsigned atomicAdd(unsigned *to, unsigned value) {
    const unsigned before = *to;
    *to += value;
    return before;
}
static unsigned atomicOr(unsigned *to, unsigned value) {
    const unsigned before = *to;
    *to |= value;
    return before;
}

// IEEE 754 half precision, to the nearest, ties to even.
static float half_to_float(uint16_t half) {
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    float value = exponent ? ldexpf((float)(1024 + fraction), exponent - 25)
                           : ldexpf((float)fraction, -24);
    if (exponent == 31) value = fraction ? NAN : INFINITY;
    return half >> 15 ? -value : value;
}
static uint16_t float_to_half(float value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const float size = fabsf(value);
    if (std::isnan(value)) return sign | 0x7e00;
    if (size >= 65520.0f) return sign | 0x7c00;
    if (size < ldexpf(1, -14)) return sign | (uint16_t)rintf(ldexpf(size, 24));
    int exponent;
    const float fraction = frexpf(size, &exponent);  // [0.5, 1)
    const int bits = (int)rintf(ldexpf(fraction, 11));  // [1024, 2048]
    return sign | (uint16_t)(((exponent + 13) << 10) + bits);
}

// A kernel becomes a function of its own name that runs a whole grid.
#define KERNEL(name, Arguments)                                                           \
    static void name##_thread(const Arguments &a);                                        \
    extern "C" const size_t name##_size = sizeof(Arguments);                              \
    extern "C" void name(const int *grid, const int *block, const void *arguments) {      \
        Arguments a;                                                                      \
        memcpy(&a, arguments, sizeof a);                                                  \
        blockDim = {block[0], block[1]};                                                  \
        for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++)                          \
            for (blockIdx.x = 0; blockIdx.x < grid[0]; blockIdx.x++)                      \
                for (threadIdx.y = 0; threadIdx.y < block[1]; threadIdx.y++)              \
                    for (threadIdx.x = 0; threadIdx.x < block[0]; threadIdx.x++)          \
                        name##_thread(a);                                                 \
    }                                                                                     \
    static void name##_thread(const Arguments &a)
