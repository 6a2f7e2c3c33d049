// The arithmetic that all kernels share. Maps are NHWC float32, a pixel's channels filled up to a multiple of 4; every
// kernel writes all of its output's channels, the filled ones too, with finite values.
//
// The files of this folder are compiled as one text, in the order of `SOURCES` in make.py: to PTX (`-fmad=false`, so
// that a fused multiply-add is one that is written), or by a host compiler with tests/emulate/emulate.h before them,
// which runs the same text on a CPU.
//
// Every sum is one chain in ascending order, or a tree whose shape depends on the size of the map alone, and every
// operation is one that IEEE 754 defines: no result depends on the batch, the tile, the card or the emulator.

#ifndef ZOO_EMULATE
#define DEV __device__ __forceinline__
#define KERNEL(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
#define SHARED __shared__
#define PARAM(T) const T
#define UNROLLED _Pragma("unroll")
DEV float divide(float a, float b) { return __fdiv_rn(a, b); }
DEV float square_root(float a) { return __fsqrt_rn(a); }
#endif

typedef unsigned int u32;
typedef long long i64;

enum { NONE, RELU, RELU6, SILU, SIGMOID, HARD_SIGMOID, HARD_SWISH, LEAKY_RELU, GELU, MISH };

struct Activation { int kind; float slope; };

// Where the host reads which layer was begun last: that of an error which the driver tells later.
struct Trace { volatile u32* begun; u32 layer; u32 unused; };
DEV void begin(const Trace& trace) {
    if (trace.begun && threadIdx.x == 0 && blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0) *trace.begun = trace.layer;
}

DEV float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
DEV void store4(float* p, float4 v) { *reinterpret_cast<float4*>(p) = v; }
DEV float4 all4(float x) { float4 v; v.x = v.y = v.z = v.w = x; return v; }
DEV float4 fma4(float4 a, float4 b, float4 c) {
    c.x = fmaf(a.x, b.x, c.x); c.y = fmaf(a.y, b.y, c.y); c.z = fmaf(a.z, b.z, c.z); c.w = fmaf(a.w, b.w, c.w);
    return c;
}
DEV float4 add4(float4 a, float4 b) { a.x += b.x; a.y += b.y; a.z += b.z; a.w += b.w; return a; }
DEV float4 sub4(float4 a, float4 b) { a.x -= b.x; a.y -= b.y; a.z -= b.z; a.w -= b.w; return a; }
DEV float4 mul4(float4 a, float4 b) { a.x *= b.x; a.y *= b.y; a.z *= b.z; a.w *= b.w; return a; }

// Four channels of a pixel of a batch's output.
struct Quad { int channel, x, y, image; };
DEV Quad quad_of(i64 i, int channels, int height, int width) {
    i64 pixel = i / (channels / 4), row = pixel / width;
    Quad at;
    at.channel = (int)(i - pixel * (channels / 4)) * 4;
    at.x = (int)(pixel - row * width);
    at.y = (int)(row % height);
    at.image = (int)(row / height);
    return at;
}

DEV float clamped(float x, float low, float high) { return fminf(fmaxf(x, low), high); }

// e to the power of x, held to [-87.3, 88.3]: the polynomial of src/nn/kernels/exp.rs, fused throughout.
DEV float exponential(float x) {
    x = clamped(x, -87.3f, 88.3f);
    float t = fmaf(x, 1.44269504f, 12582912.f);
    float r = fmaf(x, 1.44269504f, 12582912.f - t);
    float p = fmaf(0.0013264727f, r, 0.009671513f);
    p = fmaf(p, r, 0.055507336f);
    p = fmaf(p, r, 0.24022242f);
    p = fmaf(p, r, 0.693147f);
    p = fmaf(p, r, 1.0f);
    return __int_as_float(__float_as_int(p) + (__float_as_int(t) << 23));
}

// erf(x), to 2e-7: the odd Taylor series below 1 (the 12th term is 1e-9), and beyond it
// Abramowitz and Stegun's 7.1.26, whose error there is below 1.5e-7.
DEV float error_function(float x) {
    float a = fabsf(x), s = x * x;
    if (a < 1.f) {
        float p = 1.f / (21.f * 3628800.f);
        p = fmaf(p, s, -1.f / (19.f * 362880.f));
        p = fmaf(p, s, 1.f / (17.f * 40320.f));
        p = fmaf(p, s, -1.f / (15.f * 5040.f));
        p = fmaf(p, s, 1.f / (13.f * 720.f));
        p = fmaf(p, s, -1.f / (11.f * 120.f));
        p = fmaf(p, s, 1.f / (9.f * 24.f));
        p = fmaf(p, s, -1.f / (7.f * 6.f));
        p = fmaf(p, s, 1.f / (5.f * 2.f));
        p = fmaf(p, s, -1.f / 3.f);
        p = fmaf(p, s, 1.f);
        return x * p * 1.12837917f;
    }
    float t = divide(1.f, fmaf(0.3275911f, a, 1.f));
    float p = fmaf(1.061405429f, t, -1.453152027f);
    p = fmaf(p, t, 1.421413741f);
    p = fmaf(p, t, -0.284496736f);
    p = fmaf(p, t, 0.254829592f);
    float y = 1.f - p * t * exponential(-s);
    return x < 0.f ? -y : (x != x ? x : y);
}

// NaN stays NaN in every one of them.
DEV float activated(Activation a, float x) {
    switch (a.kind) {
    case RELU: return x > 0.f ? x : (x != x ? x : 0.f);
    case RELU6: return x != x ? x : clamped(x, 0.f, 6.f);
    case SILU: return divide(x, 1.f + exponential(-x));
    case SIGMOID: return x != x ? x : divide(1.f, 1.f + exponential(-x));
    case HARD_SIGMOID: return x != x ? x : clamped(x + 3.f, 0.f, 6.f) * (1.f / 6.f);
    case HARD_SWISH: return x * (clamped(x + 3.f, 0.f, 6.f) * (1.f / 6.f));
    case LEAKY_RELU: return x > 0.f ? x : x * a.slope;
    case GELU: return x * 0.5f * (1.f + error_function(x * 0.70710678f));
    case MISH: { float e = exponential(fminf(x, 20.f)); float q = e * (e + 2.f); return x * divide(q, q + 2.f); }
    default: return x;
    }
}

// The activations that convolutions apply themselves, one branch for many values; the others are a pass of their own.
template <int N> DEV void activate(Activation a, float* v) {
#define EACH(KIND) case KIND: { Activation k = {KIND, a.slope}; UNROLLED for (int i = 0; i < N; i++) v[i] = activated(k, v[i]); break; }
    switch (a.kind) {
    EACH(RELU) EACH(RELU6) EACH(SILU) EACH(HARD_SWISH) EACH(LEAKY_RELU)
    default: break;
    }
#undef EACH
}
