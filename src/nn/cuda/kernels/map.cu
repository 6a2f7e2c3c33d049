// ---- Passes over whole maps: pointwise work, means, norms, pools.

// activation(((input * gate - centre) * scale + shift + addend) * factor), each part only where it is.
struct Elementwise {
    const float* input; const float* gate;
    const float* centre; // each image's own
    const float* scale; const float* shift; const float* addend; const float* factor;
    float* output; i64 quads; int channels, pixels;
    int own;             // whether scale and shift are each image's own
    Activation activation;
    int unused;
    Trace trace;
};

KERNEL(256, 1) elementwise(PARAM(Elementwise) p) {
    begin(p.trace);
    i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i >= p.quads) return;
    i64 pixel = i / (p.channels / 4), image = pixel / p.pixels;
    int channel = (int)(i - pixel * (p.channels / 4)) * 4;
    float4 x = load4(p.input + i * 4);
    if (p.gate) x = mul4(x, load4(p.gate + image * p.channels + channel));
    if (p.centre) x = sub4(x, load4(p.centre + image * p.channels + channel));
    if (p.scale) {
        i64 at = channel + (p.own ? image * p.channels : 0);
        x = fma4(x, load4(p.scale + at), load4(p.shift + at));
    }
    if (p.addend) x = add4(x, load4(p.addend + i * 4));
    if (p.factor) x = mul4(x, load4(p.factor + i * 4));
    x.x = activated(p.activation, x.x); x.y = activated(p.activation, x.y);
    x.z = activated(p.activation, x.z); x.w = activated(p.activation, x.w);
    store4(p.output + i * 4, x);
}

// Sums over the pixels of a part of a map: of values; or of their distance from `centre`, and of its square. 32 channel
// quads by 8 rows of pixels, each row's pixels in order, then the rows in order.
struct Sums {
    const float* input; const float* centre; float* sums;
    float* squares;      // only with a centre
    int pixels, channels, chunk, parts; Trace trace;
};

// The rows' sums of a block, in order, to this part's place.
DEV void add_rows(float (*part)[32][4], float4 sum, float* to, int channels) {
    int lane = threadIdx.x % 32, row = threadIdx.x / 32;
    part[row][lane][0] = sum.x; part[row][lane][1] = sum.y; part[row][lane][2] = sum.z; part[row][lane][3] = sum.w;
    __syncthreads();
    if (threadIdx.x < 128) {
        int l = threadIdx.x / 4, j = threadIdx.x % 4, c = blockIdx.y * 128 + threadIdx.x;
        float s = 0.f;
        for (int r = 0; r < 8; r++) s += part[r][l][j];
        if (c < channels) to[c] = s;
    }
}

KERNEL(256, 1) sums_over_pixels(PARAM(Sums) p) {
    SHARED float part[8][32][4];
    begin(p.trace);
    int lane = threadIdx.x % 32, row = threadIdx.x / 32, channel = (blockIdx.y * 32 + lane) * 4, image = blockIdx.z;
    float4 sum = all4(0.f), squares = all4(0.f);
    if (channel < p.channels) {
        const float* input = p.input + (size_t)image * p.pixels * p.channels + channel;
        float4 centre = p.centre ? load4(p.centre + (size_t)image * p.channels + channel) : all4(0.f);
        int end = min(p.pixels, ((int)blockIdx.x + 1) * p.chunk);
        for (int i = blockIdx.x * p.chunk + row; i < end; i += 8) {
            float4 v = load4(input + (size_t)i * p.channels);
            if (p.centre) {
                v = sub4(v, centre);
                squares = fma4(v, v, squares);
            }
            sum = add4(sum, v);
        }
    }
    size_t to = ((size_t)image * p.parts + blockIdx.x) * p.channels;
    add_rows(part, sum, p.sums + to, p.channels);
    if (p.centre) {
        __syncthreads();
        add_rows(part, squares, p.squares + to, p.channels);
    }
}

// Group norm of those sums, a warp a group: the mean of each of its channels; or, from the distances and their squares,
// each channel's scale and shift for values from which that mean has been taken off. Where a group's values are nearly equal
// the scale is large, and what float32 left of the mean shows: the sum of the distances has it.
struct GroupNorm {
    const float* sums; const float* squares; const float* weight; const float* bias; float* mean; float* scale; float* shift;
    int parts, channels, groups, each; float count, eps; Trace trace;
};

DEV float sum_of_group(const float* sums, const GroupNorm& p) {
    int group = blockIdx.x, image = blockIdx.y;
    sums += (size_t)image * p.parts * p.channels + group * p.each;
    float sum = 0.f;
    for (int i = threadIdx.x; i < p.parts * p.each; i += 32) sum += sums[(size_t)(i / p.each) * p.channels + i % p.each];
UNROLLED
    for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
    return sum;
}

KERNEL(32, 1) group_norm(PARAM(GroupNorm) p) {
    begin(p.trace);
    int lane = threadIdx.x, group = blockIdx.x, image = blockIdx.y;
    float mean = divide(sum_of_group(p.sums, p), p.count), factor = 0.f;
    if (p.scale) {
        float variance = divide(sum_of_group(p.squares, p), p.count) - mean * mean;
        factor = divide(1.f, square_root(fmaxf(variance, 0.f) + p.eps));
    }
    // The last group's warp also fills up the channels.
    int end = group + 1 == p.groups ? p.channels - group * p.each : p.each;
    for (int i = lane; i < end; i += 32) {
        size_t at = (size_t)image * p.channels + group * p.each + i;
        bool inside = i < p.each;
        if (!p.scale) {
            p.mean[at] = inside ? mean : 0.f;
        } else {
            int channel = group * p.each + i;
            float scale = inside ? p.weight[channel] * factor : 0.f;
            p.scale[at] = scale;
            p.shift[at] = inside ? fmaf(-mean, scale, p.bias[channel]) : 0.f;
        }
    }
}

// Pools over a window; the largest is NaN where one is.
struct Pool {
    const float* input; float* output; i64 quads;
    int channels, height, width, out_height, out_width, taps_y, taps_x, stride_y, stride_x, dilation_y, dilation_x, top, left, bottom, right;
    int kind;            // the largest; the mean of what lies inside; the mean with the border's zeros
    Trace trace;
};

DEV float larger(float a, float b) { return b > a || b != b ? b : a; }

KERNEL(256, 1) pool(PARAM(Pool) p) {
    begin(p.trace);
    i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i >= p.quads) return;
    const Quad at = quad_of(i, p.channels, p.out_height, p.out_width);
    const float* input = p.input + (size_t)at.image * p.height * p.width * p.channels + at.channel;
    float4 a = all4(p.kind == 0 ? __int_as_float(0xff800000) : 0.f);
    int inside = 0;
    for (int ky = 0; ky < p.taps_y; ky++)
        for (int kx = 0; kx < p.taps_x; kx++) {
            int iy = at.y * p.stride_y - p.top + ky * p.dilation_y, ix = at.x * p.stride_x - p.left + kx * p.dilation_x;
            if ((u32)iy >= (u32)p.height || (u32)ix >= (u32)p.width) continue;
            float4 v = load4(input + ((size_t)iy * p.width + ix) * p.channels);
            inside++;
            if (p.kind == 0) {
                a.x = larger(a.x, v.x); a.y = larger(a.y, v.y); a.z = larger(a.z, v.z); a.w = larger(a.w, v.w);
            } else {
                a = add4(a, v);
            }
        }
    if (p.kind != 0) {
        int count = inside;
        if (p.kind == 2) {
            // A window of `ceil` mode may hang over even the border.
            int rows = min(at.y * p.stride_y + p.taps_y, p.top + p.height + p.bottom) - at.y * p.stride_y;
            int columns = min(at.x * p.stride_x + p.taps_x, p.left + p.width + p.right) - at.x * p.stride_x;
            count = rows * columns;
        }
        float n = (float)max(1, count);
        a.x = divide(a.x, n); a.y = divide(a.y, n); a.z = divide(a.z, n); a.w = divide(a.w, n);
    }
    store4(p.output + i * 4, a);
}

// A binomial filter without a border: its weights are whole numbers, and so is the power of two that they add up to.
struct Blur { const float* input; float* output; i64 quads; int channels, height, width, out_height, out_width, size, stride, unused; Trace trace; };

KERNEL(256, 1) blur(PARAM(Blur) p) {
    begin(p.trace);
    i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i >= p.quads) return;
    const Quad at = quad_of(i, p.channels, p.out_height, p.out_width);
    const float* input = p.input + (((size_t)at.image * p.height + at.y * p.stride) * p.width + at.x * p.stride) * p.channels + at.channel;
    float4 sum = all4(0.f);
    int row = 1, total = 0;
    for (int ky = 0; ky < p.size; ky++) {
        int weight = row;
        for (int kx = 0; kx < p.size; kx++) {
            sum = fma4(load4(input + ((size_t)ky * p.width + kx) * p.channels), all4((float)weight), sum);
            total += weight;
            weight = weight * (p.size - 1 - kx) / (kx + 1);
        }
        row = row * (p.size - 1 - ky) / (ky + 1);
    }
    float n = (float)total;
    sum.x = divide(sum.x, n); sum.y = divide(sum.y, n); sum.z = divide(sum.z, n); sum.w = divide(sum.w, n);
    store4(p.output + i * 4, sum);
}
