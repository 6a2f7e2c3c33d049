// CUDA's words for a host compiler: a block's threads are fibers of one thread, blocks run one after another.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define ZOO_EMULATE
#define DEV static inline __attribute__((always_inline))
#define KERNEL(threads, blocks) extern "C" __attribute__((visibility("default"))) void
#define SHARED static
#define PARAM(T) const T&
#define UNROLLED _Pragma("GCC unroll 16")
#define __align__(n) __attribute__((aligned(n)))

struct alignas(16) float4 { float x, y, z, w; };
struct Index { unsigned x, y, z; };
extern Index emulated_block, emulated_thread;
#define blockIdx emulated_block
#define threadIdx emulated_thread
using std::max;
using std::min;

// Every thread of the block comes here before any goes on.
void emulated_barrier();
static inline void __syncthreads() { emulated_barrier(); }

extern float emulated_exchange[1024];
static inline float __shfl_xor_sync(unsigned, float value, int mask) {
    unsigned self = emulated_thread.x;
    emulated_exchange[self] = value;
    emulated_barrier();
    float other = emulated_exchange[self ^ mask];
    emulated_barrier();
    return other;
}

static inline float divide(float a, float b) { return a / b; }
static inline float square_root(float a) { return sqrtf(a); }
static inline float __int_as_float(int x) { float f; memcpy(&f, &x, 4); return f; }
static inline int __float_as_int(float x) { int i; memcpy(&i, &x, 4); return i; }
