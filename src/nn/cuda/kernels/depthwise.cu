// ---- Depthwise convolution, and the sums over its output that a squeeze-excite asks for.

struct Depthwise {
    const float* input; const float* weight; const float* bias; float* output; float* sums;
    int height, width, out_height, out_width, channels;
    int top, left, dilation_y, dilation_x, stride_y, stride_x, taps_y, taps_x;
    int lanes;              // channel quads that lie abreast in a block
    int chunk;              // output columns of a block
    int blocks_x, blocks;   // blocks abreast, and of an image
    Activation activation;
    int unused;
    Trace trace;
};

// What a block is part of.
struct Place { int channel, row, y, x0, x1, image; };

template <int R, int THREADS> DEV Place place(const Depthwise& p) {
    Place at;
    const int lane = threadIdx.x % p.lanes;
    at.row = threadIdx.x / p.lanes;
    at.channel = (blockIdx.y * p.lanes + lane) * 4;
    const int tile_y = blockIdx.x / p.blocks_x, tile_x = blockIdx.x - tile_y * p.blocks_x;
    at.image = blockIdx.z;
    at.y = (tile_y * (THREADS / p.lanes) + at.row) * R;
    at.x0 = tile_x * p.chunk;
    at.x1 = min(p.out_width, at.x0 + p.chunk);
    return at;
}

// The sums of a block's threads: rows in order, a thread a channel.
template <int THREADS> DEV void reduce(const Depthwise& p, float4 sum) {
    SHARED float part[THREADS][4];
    if (!p.sums) return;
    const int tid = threadIdx.x, rows = THREADS / p.lanes;
    part[tid][0] = sum.x; part[tid][1] = sum.y; part[tid][2] = sum.z; part[tid][3] = sum.w;
    __syncthreads();
    if (tid < p.lanes * 4) {
        float s = 0.f;
        for (int r = 0; r < rows; r++) s += part[r * p.lanes + tid / 4][tid % 4];
        int channel = blockIdx.y * p.lanes * 4 + tid;
        if (channel < p.channels) p.sums[((size_t)blockIdx.z * p.blocks + blockIdx.x) * p.channels + channel] = s;
    }
}

DEV float4 finished(Activation activation, float4 sum, float4 bias) {
    sum = add4(sum, bias);
    float v[4] = {sum.x, sum.y, sum.z, sum.w};
    activate<4>(activation, v);
    sum.x = v[0]; sum.y = v[1]; sum.z = v[2]; sum.w = v[3];
    return sum;
}

// A thread makes T outputs of each of R rows at a time, four channels of each, and walks along its chunk of the rows.
template <int K, int S, int T, int R, int THREADS, bool ROLLED> DEV void depthwise(const Depthwise& p) {
    constexpr int W = (T - 1) * S + K, H = (R - 1) * S + K, UNROLL = ROLLED ? 1 : H;
    begin(p.trace);
    const Place at = place<R, THREADS>(p);
    float4 sum = all4(0.f);
    if (at.channel < p.channels && at.y < p.out_height) {
        const float* input = p.input + (size_t)at.image * p.height * p.width * p.channels + at.channel;
        float* output = p.output + ((size_t)at.image * p.out_height + at.y) * p.out_width * p.channels + at.channel;
        const float* weight = p.weight + at.channel;
        const float4 bias = load4(p.bias + at.channel);
        for (int x = at.x0; x < at.x1; x += T) {
            float4 acc[R][T];
UNROLLED
            for (int r = 0; r < R; r++)
UNROLLED
                for (int i = 0; i < T; i++) acc[r][i] = all4(0.f);
            const int y0 = at.y * S - p.top, x0 = x * S - p.left;
#pragma unroll UNROLL
            for (int h = 0; h < H; h++) {
                const int y = y0 + h;
                const bool inside = (u32)y < (u32)p.height;
                const float* line = input + (i64)y * p.width * p.channels;
                float4 v[W];
UNROLLED
                for (int j = 0; j < W; j++)
                    v[j] = inside && (u32)(x0 + j) < (u32)p.width ? load4(line + (i64)(x0 + j) * p.channels) : all4(0.f);
UNROLLED
                for (int r = 0; r < R; r++) {
                    const int tap = h - r * S;
                    if (tap < 0 || tap >= K) continue;
UNROLLED
                    for (int k = 0; k < K; k++) {
                        const float4 w = load4(weight + (size_t)(tap * K + k) * p.channels);
UNROLLED
                        for (int i = 0; i < T; i++) acc[r][i] = fma4(v[i * S + k], w, acc[r][i]);
                    }
                }
            }
UNROLLED
            for (int r = 0; r < R; r++) {
                float v[4 * T];
UNROLLED
                for (int i = 0; i < T; i++) {
                    float4 s = add4(acc[r][i], bias);
                    v[4 * i] = s.x; v[4 * i + 1] = s.y; v[4 * i + 2] = s.z; v[4 * i + 3] = s.w;
                }
                activate<4 * T>(p.activation, v);
UNROLLED
                for (int i = 0; i < T; i++) {
                    if (x + i < at.x1 && at.y + r < p.out_height) {
                        float4 s; s.x = v[4 * i]; s.y = v[4 * i + 1]; s.z = v[4 * i + 2]; s.w = v[4 * i + 3];
                        store4(output + ((size_t)r * p.out_width + x + i) * p.channels, s);
                        sum = add4(sum, s);
                    }
                }
            }
        }
    }
    reduce<THREADS>(p, sum);
}
KERNEL(256, 2) depthwise_3_1(PARAM(Depthwise) p) { depthwise<3, 1, 4, 1, 256, false>(p); }
KERNEL(256, 2) depthwise_3_2(PARAM(Depthwise) p) { depthwise<3, 2, 4, 1, 256, false>(p); }
KERNEL(128, 4) depthwise_5_1(PARAM(Depthwise) p) { depthwise<5, 1, 4, 2, 128, true>(p); }
KERNEL(128, 4) depthwise_5_2(PARAM(Depthwise) p) { depthwise<5, 2, 2, 2, 128, true>(p); }
KERNEL(256, 2) depthwise_7_1(PARAM(Depthwise) p) { depthwise<7, 1, 4, 1, 256, false>(p); }
KERNEL(256, 2) depthwise_7_2(PARAM(Depthwise) p) { depthwise<7, 2, 2, 1, 256, false>(p); }

// Any window, one output at a time.
KERNEL(256, 2) depthwise_any(PARAM(Depthwise) p) {
    begin(p.trace);
    const Place at = place<1, 256>(p);
    float4 sum = all4(0.f);
    if (at.channel < p.channels && at.y < p.out_height) {
        const float* input = p.input + (size_t)at.image * p.height * p.width * p.channels + at.channel;
        float* output = p.output + ((size_t)at.image * p.out_height + at.y) * p.out_width * p.channels + at.channel;
        const float4 bias = load4(p.bias + at.channel);
        for (int x = at.x0; x < at.x1; x++) {
            float4 acc = all4(0.f);
            for (int ky = 0; ky < p.taps_y; ky++)
                for (int kx = 0; kx < p.taps_x; kx++) {
                    int iy = at.y * p.stride_y - p.top + ky * p.dilation_y, ix = x * p.stride_x - p.left + kx * p.dilation_x;
                    if ((u32)iy >= (u32)p.height || (u32)ix >= (u32)p.width) continue;
                    acc = fma4(load4(input + ((size_t)iy * p.width + ix) * p.channels), load4(p.weight + (size_t)(ky * p.taps_x + kx) * p.channels + at.channel), acc);
                }
            acc = finished(p.activation, acc, bias);
            store4(output + (size_t)x * p.channels, acc);
            sum = add4(sum, acc);
        }
    }
    reduce<256>(p, sum);
}

// The mean of a depthwise convolution's output, of the sums of its blocks in order.
struct Mean { const float* sums; float* output; int images, parts, channels; float count; Trace trace; };

KERNEL(256, 1) mean_of_sums(PARAM(Mean) p) {
    begin(p.trace);
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= p.images * p.channels) return;
    int image = i / p.channels, channel = i - image * p.channels;
    const float* sums = p.sums + (size_t)image * p.parts * p.channels + channel;
    float sum = 0.f;
    for (int t = 0; t < p.parts; t++) sum += sums[(size_t)t * p.channels];
    p.output[i] = divide(sum, p.count);
}
