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
