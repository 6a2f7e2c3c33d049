// ---- Convolution as a matrix product (implicit GEMM): rows are output pixels of all images, columns output channels,
// depth is taps times input channels. Each output is one chain of fused multiply-adds over the depth, so that the tile
// only decides which thread computes it.

struct Conv {
    const float* input; const float* weight; const float* bias; const float* residual; const float* gate; float* output;
    int rows, columns, depth;    // output pixels of all images; output channels of a group, a multiple of 4; taps * channels
    int height, width;           // of the input
    int channels, pitch;         // that a group reads; of a pixel
    int out_width, out_pixels;   // of an image's output
    int taps_x, stride_y, stride_x, dilation_y, dilation_x, top, left;
    int weight_pitch, out_pitch; // from a row of weights, or a pixel of the output, to the next
    int tiles_x;                 // tiles abreast
    Activation before, after;    // of the residual
    int unused;
    Trace trace;
};

// The rows of a tile that a thread reads, four channels of each at a step.
template <int R> struct Rows {
    int base[R], image[R], y[R], x[R];
    int tap_y, tap_x, channel, depth;
};

template <int THREADS, int R, bool POINT>
DEV void rows_start(Rows<R>& a, const Conv& p, int first, int quad, int row) {
UNROLLED
    for (int i = 0; i < R; i++) {
        int m = first + row + i * (THREADS / 4);
        bool inside = m < p.rows;
        m = inside ? m : 0;
        int image = m / p.out_pixels;
        a.image[i] = image;
        if (POINT) {
            a.base[i] = inside ? m : -1;
        } else {
            int at = m - image * p.out_pixels, y = at / p.out_width, x = at - y * p.out_width;
            a.base[i] = image * p.height * p.width;
            a.y[i] = inside ? y * p.stride_y - p.top : -(1 << 28);
            a.x[i] = x * p.stride_x - p.left;
        }
    }
    a.depth = a.channel = quad * 4;
    a.tap_y = a.tap_x = 0;
    if (!POINT)
        while (a.channel >= p.channels) { a.channel -= p.channels; if (++a.tap_x == p.taps_x) { a.tap_x = 0; a.tap_y++; } }
}

template <int R, bool POINT, bool GATE>
DEV void rows_load(Rows<R>& a, const Conv& p, const float* input, float4* v, int step) {
    bool deep = a.depth < p.depth;
UNROLLED
    for (int i = 0; i < R; i++) {
        if (POINT) {
            bool inside = deep && a.base[i] >= 0;
            v[i] = inside ? load4(input + (size_t)a.base[i] * p.pitch + a.depth) : all4(0.f);
            if (GATE && inside) v[i] = mul4(v[i], load4(p.gate + (size_t)a.image[i] * p.pitch + a.depth));
        } else {
            int y = a.y[i] + a.tap_y * p.dilation_y, x = a.x[i] + a.tap_x * p.dilation_x;
            bool inside = deep && (u32)y < (u32)p.height && (u32)x < (u32)p.width;
            v[i] = inside ? load4(input + ((size_t)a.base[i] + y * p.width + x) * p.pitch + a.channel) : all4(0.f);
        }
    }
    a.depth += step;
    if (!POINT) {
        a.channel += step;
        while (a.channel >= p.channels) { a.channel -= p.channels; if (++a.tap_x == p.taps_x) { a.tap_x = 0; a.tap_y++; } }
    }
}

// Part of a tile, from shared memory to the output: bias, activation, residual, activation. Row `r` of the part is the
// output's row `place(r)`.
template <int THREADS, int ROWS, int BN, class Place>
DEV void finish(const Conv& p, const float* part, int first, int group, Place place) {
    constexpr int QUADS = BN / 4, EACH = ROWS * QUADS / THREADS, ABREAST = EACH % 2 == 0 ? 2 : 1;
    static_assert(EACH * THREADS == ROWS * QUADS, "every thread has as many quads");
    const int offset = group * p.columns;
#pragma unroll 1
    for (int t = 0; t < EACH; t += ABREAST) {
        float v[4 * ABREAST];
        float4 residual[ABREAST];
        i64 at[ABREAST];
UNROLLED
        for (int u = 0; u < ABREAST; u++) {
            int e = (t + u) * THREADS + threadIdx.x, row = e / QUADS, n = first + (e % QUADS) * 4, m = place(row);
            bool inside = m < p.rows && n < p.columns;
            at[u] = inside ? (i64)m * p.out_pitch + offset + n : -1;
            residual[u] = inside && p.residual ? load4(p.residual + at[u]) : all4(0.f);
            float4 s = add4(load4(part + row * BN + (e % QUADS) * 4), inside ? load4(p.bias + offset + n) : all4(0.f));
            v[4 * u] = s.x; v[4 * u + 1] = s.y; v[4 * u + 2] = s.z; v[4 * u + 3] = s.w;
        }
        Activation now = p.before;
#pragma unroll 1
        for (int i = 0; i < 2; i++) {
            activate<4 * ABREAST>(now, v);
            if (!p.residual || i == 1) break;
            now = p.after;
UNROLLED
            for (int u = 0; u < ABREAST; u++) {
                v[4 * u] += residual[u].x; v[4 * u + 1] += residual[u].y; v[4 * u + 2] += residual[u].z; v[4 * u + 3] += residual[u].w;
            }
        }
UNROLLED
        for (int u = 0; u < ABREAST; u++) {
            float4 s; s.x = v[4 * u]; s.y = v[4 * u + 1]; s.z = v[4 * u + 2]; s.w = v[4 * u + 3];
            if (at[u] >= 0) store4(p.output + at[u], s);
        }
    }
}

// A tile of BM pixels by BN channels: WM x WN warps, each of LM x (32 / LM) threads of 8 pixels by 4 * TN channels.
template <int WM, int WN, int LM, int TN, bool POINT, bool GATE> DEV void conv_tile(const Conv& p) {
    constexpr int THREADS = WM * WN * 32, LN = 32 / LM, BM = WM * LM * 8, BN = WN * LN * 4 * TN, BK = 16;
    constexpr int RA = BM * 4 / THREADS, QUADS = BN / 4, RB = BK * QUADS / THREADS;
    constexpr int PAD = 4, A = BK * (BM + PAD), B = BK * BN, OUT = BM / 2 * BN;
    static_assert(RA * THREADS == BM * 4 && RB * THREADS == BK * QUADS, "every thread has as many quads");
    SHARED __align__(16) float shared[2 * (A + B) > OUT ? 2 * (A + B) : OUT];
    begin(p.trace);
    const int tid = threadIdx.x, warp = tid / 32, lane = tid % 32;
    const int m0 = blockIdx.x / p.tiles_x * BM, n0 = blockIdx.x % p.tiles_x * BN, group = blockIdx.z;
    const float* input = p.input + group * p.channels;
    const float* weight = p.weight + (size_t)group * p.depth * p.weight_pitch;
    const int mw = (warp % WM) * (LM * 8) + (lane / LN) * 4, nw = (warp / WM) * (LN * 4 * TN) + (lane % LN) * 4;

    Rows<RA> rows;
    const int quad = tid % 4, row = tid / 4;
    rows_start<THREADS, RA, POINT>(rows, p, m0, quad, row);
    float4 av[RA], bv[RB];
    auto fetch = [&](int k0) {
        rows_load<RA, POINT, GATE>(rows, p, input, av, BK);
UNROLLED
        for (int i = 0; i < RB; i++) {
            int e = tid + i * THREADS, k = e / QUADS, n = n0 + (e % QUADS) * 4;
            bool inside = k0 + k < p.depth && n < p.weight_pitch;
            bv[i] = inside ? load4(weight + (size_t)(k0 + k) * p.weight_pitch + n) : all4(0.f);
        }
    };
    auto keep = [&](int s) {
UNROLLED
        for (int i = 0; i < RA; i++) {
            float* a = shared + s * A + quad * 4 * (BM + PAD) + row + i * (THREADS / 4);
            a[0] = av[i].x; a[BM + PAD] = av[i].y; a[2 * (BM + PAD)] = av[i].z; a[3 * (BM + PAD)] = av[i].w;
        }
UNROLLED
        for (int i = 0; i < RB; i++) {
            int e = tid + i * THREADS;
            store4(shared + 2 * A + s * B + e / QUADS * BN + (e % QUADS) * 4, bv[i]);
        }
    };
    float sum[8][4 * TN];
UNROLLED
    for (int i = 0; i < 8; i++)
UNROLLED
        for (int j = 0; j < 4 * TN; j++) sum[i][j] = 0.f;
    fetch(0);
    keep(0);
    __syncthreads();
    const int steps = (p.depth + BK - 1) / BK;
    for (int t = 0; t < steps; t++) {
        const int s = t & 1;
        if (t + 1 < steps) fetch((t + 1) * BK);
UNROLLED
        for (int k = 0; k < BK; k++) {
            float a[8], b[4 * TN];
UNROLLED
            for (int h = 0; h < 2; h++) {
                float4 v = load4(shared + s * A + k * (BM + PAD) + mw + h * (LM * 4));
                a[h * 4] = v.x; a[h * 4 + 1] = v.y; a[h * 4 + 2] = v.z; a[h * 4 + 3] = v.w;
            }
UNROLLED
            for (int h = 0; h < TN; h++) {
                float4 v = load4(shared + 2 * A + s * B + k * BN + nw + h * (LN * 4));
                b[h * 4] = v.x; b[h * 4 + 1] = v.y; b[h * 4 + 2] = v.z; b[h * 4 + 3] = v.w;
            }
UNROLLED
            for (int i = 0; i < 8; i++)
UNROLLED
                for (int j = 0; j < 4 * TN; j++) sum[i][j] = fmaf(a[i], b[j], sum[i][j]);
        }
        if (t + 1 < steps) keep(s ^ 1);
        __syncthreads();
    }
    // Half the rows of every warp at a time, through shared memory: stores in whole lines, one copy of the activations.
UNROLLED
    for (int h = 0; h < 2; h++) {
        if (h) __syncthreads();
        const int first = (warp % WM) * (LM * 4) + (lane / LN) * 4;
UNROLLED
        for (int i = 0; i < 4; i++)
UNROLLED
            for (int j = 0; j < TN; j++) {
                const float* a = sum[h * 4 + i] + j * 4;
                float4 v; v.x = a[0]; v.y = a[1]; v.z = a[2]; v.w = a[3];
                store4(shared + (first + i) * BN + nw + j * (LN * 4), v);
            }
        __syncthreads();
        finish<THREADS, BM / 2, BN>(p, shared, n0, group, [&](int r) { return m0 + r / (LM * 4) * (LM * 8) + h * (LM * 4) + r % (LM * 4); });
    }
}

// Any window; one pixel without stride or border; the same behind a factor for each input channel of each image.
#define CONV(NAME, WM, WN, LM, TN, BLOCKS) \
    KERNEL(WM * WN * 32, BLOCKS) conv_##NAME##_any(PARAM(Conv) p) { conv_tile<WM, WN, LM, TN, false, false>(p); } \
    KERNEL(WM * WN * 32, BLOCKS) conv_##NAME##_point(PARAM(Conv) p) { conv_tile<WM, WN, LM, TN, true, false>(p); } \
    KERNEL(WM * WN * 32, BLOCKS) conv_##NAME##_gate(PARAM(Conv) p) { conv_tile<WM, WN, LM, TN, true, true>(p); }
CONV(128x128, 4, 2, 4, 2, 2)
CONV(128x96, 4, 1, 4, 3, 2)
CONV(128x64, 4, 1, 4, 2, 4)
CONV(128x32, 4, 1, 4, 1, 5)
CONV(64x64, 2, 1, 4, 2, 6)
CONV(64x32, 2, 1, 4, 1, 10)

// ---- A fully connected layer, or any 1x1 convolution of one pixel: a warp an output of up to 4 images, whose lanes'
// chains are added as a tree.

struct Linear { const float* input; const float* weight; const float* bias; float* output; int images, depth, outputs, unused; Activation activation; Trace trace; };

KERNEL(256, 1) linear(PARAM(Linear) p) {
    begin(p.trace);
    int lane = threadIdx.x % 32, out = blockIdx.x * 8 + threadIdx.x / 32, first = blockIdx.y * 4;
    float sum[4] = {0.f, 0.f, 0.f, 0.f};
    if (out < p.outputs) {
        const float* weight = p.weight + (size_t)out * p.depth;
        for (int k = lane * 4; k < p.depth; k += 128) {
            float4 w = load4(weight + k);
UNROLLED
            for (int i = 0; i < 4; i++) {
                if (first + i < p.images) {
                    float4 v = load4(p.input + (size_t)(first + i) * p.depth + k);
                    sum[i] = fmaf(w.x, v.x, sum[i]); sum[i] = fmaf(w.y, v.y, sum[i]);
                    sum[i] = fmaf(w.z, v.z, sum[i]); sum[i] = fmaf(w.w, v.w, sum[i]);
                }
            }
        }
    }
UNROLLED
    for (int d = 16; d > 0; d /= 2)
UNROLLED
        for (int i = 0; i < 4; i++) sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], d);
    if (lane == 0 && out < p.outputs)
        for (int i = 0; i < 4; i++)
            if (first + i < p.images) p.output[(size_t)(first + i) * p.outputs + out] = activated(p.activation, sum[i] + p.bias[out]);
}

// ---- CondConv: each image's own filters, the experts' times their shares, experts in ascending order.

struct Mix { const float* experts; const float* share; float* weight; i64 quads; int count, pitch; Trace trace; };

KERNEL(256, 1) mix_experts(PARAM(Mix) p) {
    begin(p.trace);
    i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i >= p.quads) return;
    float4 sum = all4(0.f);
    for (int e = 0; e < p.count; e++)
        sum = fma4(load4(p.experts + (e * p.quads + i) * 4), all4(p.share[(size_t)blockIdx.y * p.pitch + e]), sum);
    store4(p.weight + ((size_t)blockIdx.y * p.quads + i) * 4, sum);
}
