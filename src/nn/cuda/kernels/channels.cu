// ---- Values that change their place, and work along the channels of pooled features.

// The image, CHW, as a map.
struct Image { const float* input; float* output; i64 count; int pixels, channels, pitch, unused; Trace trace; };

KERNEL(256, 1) image(PARAM(Image) p) {
    begin(p.trace);
    i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    int channel = (int)(i % p.pitch);
    i64 pixel = i / p.pitch, n = pixel / p.pixels, at = pixel - n * p.pixels;
    p.output[i] = channel < p.channels ? p.input[(n * p.channels + channel) * p.pixels + at] : 0.f;
}

// Channels of a map to others of a map of as many pixels, by one value or four; zeros from `channels` up to `written`.
struct Copy { const float* input; float* output; i64 count; int channels, written, from, to; Trace trace; };

KERNEL(256, 1) copy(PARAM(Copy) p) {
    begin(p.trace);
    i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    i64 pixel = i / p.written;
    int channel = (int)(i - pixel * p.written);
    p.output[pixel * p.to + channel] = channel < p.channels ? p.input[pixel * p.from + channel] : 0.f;
}

KERNEL(256, 1) copy_quads(PARAM(Copy) p) {
    begin(p.trace);
    i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    i64 pixel = i / (p.written / 4);
    int channel = (int)(i - pixel * (p.written / 4)) * 4;
    store4(p.output + pixel * p.to + channel, load4(p.input + pixel * p.from + channel));
}

// A map in a frame of zeros or of its own mirror image, or without some of its border (a negative frame); and each pixel
// `factor` times along either side.
struct Frame { const float* input; float* output; i64 quads; int channels, height, width, out_height, out_width, top, left, reflect, factor, unused; Trace trace; };

DEV int mirrored(int at, int size) { at = at < 0 ? -at : at; return at >= size ? 2 * size - 2 - at : at; }

KERNEL(256, 1) frame(PARAM(Frame) p) {
    begin(p.trace);
    i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i >= p.quads) return;
    const Quad at = quad_of(i, p.channels, p.out_height, p.out_width);
    int iy = at.y / p.factor - p.top, ix = at.x / p.factor - p.left;
    if (p.reflect) { iy = mirrored(iy, p.height); ix = mirrored(ix, p.width); }
    bool inside = (u32)iy < (u32)p.height && (u32)ix < (u32)p.width;
    const float* input = p.input + (size_t)at.image * p.height * p.width * p.channels + at.channel;
    store4(p.output + i * 4, inside ? load4(input + ((size_t)iy * p.width + ix) * p.channels) : all4(0.f));
}

// Blocks of pixels into channels, row by row of a block.
struct Blocks { const float* input; float* output; i64 count; int channels, pitch, width, out_pixels, out_width, out_channels, out_pitch, block; Trace trace; };

KERNEL(256, 1) space_to_depth(PARAM(Blocks) p) {
    begin(p.trace);
    i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    int c = (int)(i % p.out_pitch);
    i64 pixel = i / p.out_pitch, image = pixel / p.out_pixels;
    int at = (int)(pixel - image * p.out_pixels), y = at / p.out_width, x = at - y * p.out_width, place = c / p.channels;
    i64 from = image * p.out_pixels * p.block * p.block + (i64)(y * p.block + place / p.block) * p.width + x * p.block + place % p.block;
    p.output[i] = c < p.out_channels ? p.input[from * p.pitch + c % p.channels] : 0.f;
}

// Softmax over `parts`: the input's channels are `groups` of `parts` runs, the output's `parts` of `groups`.
struct Softmax { const float* input; float* output; int count, channels, pitch, parts, groups, run; Trace trace; };

KERNEL(256, 1) softmax(PARAM(Softmax) p) {
    begin(p.trace);
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    int image = i / p.pitch, c = i - image * p.pitch;
    if (c >= p.channels) { p.output[i] = 0.f; return; }
    int part = c / (p.groups * p.run), group = c / p.run % p.groups;
    const float* input = p.input + (size_t)image * p.pitch + group * p.parts * p.run + c % p.run;
    float largest = input[0];
    for (int k = 1; k < p.parts; k++) largest = larger(largest, input[k * p.run]);
    float sum = 0.f;
    for (int k = 0; k < p.parts; k++) sum += exponential(input[k * p.run] - largest);
    float x = input[part * p.run];
    p.output[i] = x != x || largest != largest ? x + largest : divide(exponential(x - largest), sum);
}

// A convolution along channels, zeros beyond the ends.
struct ChannelConv { const float* input; const float* weight; float* output; int count, channels, pitch, taps; Trace trace; };

KERNEL(256, 1) channel_conv(PARAM(ChannelConv) p) {
    begin(p.trace);
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    int image = i / p.pitch, c = i - image * p.pitch;
    float sum = 0.f;
    for (int k = 0; k < p.taps && c < p.channels; k++) {
        int at = c + k - p.taps / 2;
        if ((u32)at < (u32)p.channels) sum = fmaf(p.weight[k], p.input[(size_t)image * p.pitch + at], sum);
    }
    p.output[i] = sum;
}
