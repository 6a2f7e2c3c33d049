//! The operations whose form in candle takes more than a line.
//!
//! In: candle's tensors, what a node says. Out: a tensor. Called by [`super`].

use candle_core::Tensor;

use super::{CandleResult, gradient};
use crate::graph::{Activation, PoolKind, Shape, Window};

fn unsupported<T>(what: &str) -> candle_core::Result<T> {
    Err(candle_core::Error::Msg(format!("{what} is not supported")))
}

/// `[top, bottom, left, right]` pixels of `value` around a map.
pub(super) fn pad(x: &Tensor, pads: [usize; 4], value: f32) -> CandleResult {
    let mut x = x.clone();
    for (dim, before, after) in [(2, pads[0], pads[1]), (3, pads[2], pads[3])] {
        let fill = |len: usize| {
            let mut dims = x.dims().to_vec();
            if let Some(d) = dims.get_mut(dim) {
                *d = len;
            }
            Tensor::full(value, dims, x.device())
        };
        let parts =
            [(before > 0).then(|| fill(before)), Some(Ok(x.clone())), (after > 0).then(|| fill(after))];
        let parts = parts.into_iter().flatten().collect::<candle_core::Result<Vec<_>>>()?;
        if parts.len() > 1 {
            x = Tensor::cat(&parts, dim)?;
        }
    }
    Ok(x)
}

/// `[top, bottom, left, right]` pixels around a map, mirrored at its border.
pub(super) fn reflect(x: &Tensor, pads: [usize; 4]) -> CandleResult {
    let mut x = x.clone();
    for (dim, before, after) in [(2, pads[0], pads[1]), (3, pads[2], pads[3])] {
        let size = x.dim(dim)?;
        let below = (size.saturating_sub(after + 1)..size.saturating_sub(1)).rev();
        let index: Vec<u32> = (1..=before).rev().chain(0..size).chain(below).map(|i| i as u32).collect();
        x = x.index_select(&Tensor::new(index.as_slice(), x.device())?, dim)?;
    }
    Ok(x)
}

/// Whether a gradient will be asked for: then convolutions and pools are those of [`gradient`], whose values are the same to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Values, on any device.
    Inference,
    /// Values and gradients, on a processor.
    Training,
}

impl Mode {
    /// A convolution without padding.
    pub(super) fn conv2d(
        self,
        x: &Tensor,
        filter: &Tensor,
        stride: usize,
        dilation: usize,
        groups: usize,
    ) -> CandleResult {
        match self {
            Mode::Inference => x.conv2d(filter, 0, stride, dilation, groups),
            Mode::Training => gradient::Convolution { stride, dilation, groups }.of(x, filter),
        }
    }

    pub(super) fn upsample(self, x: &Tensor, [height, width]: [usize; 2]) -> CandleResult {
        match self {
            Mode::Inference => x.upsample_nearest2d(height, width),
            Mode::Training => gradient::Upsampling { output: [height, width] }.of(x),
        }
    }

    /// A convolution.
    pub(super) fn convolve(
        self,
        x: &Tensor,
        weight: &Tensor,
        groups: usize,
        window: &Window,
    ) -> CandleResult {
        let (n, c, h, w) = x.dims4()?;
        let ([sv, sh], [dv, dh]) = (window.stride, window.dilation);
        let pads = window.pads([h, w]);
        if window.kernel == [1, 1] && (sv, sh, groups) == (1, 1, 1) && pads == [0; 4] {
            // The same sum as a matrix product, without candle's copy of the map.
            let out = weight.dim(0)?;
            let weight = weight.reshape((1, out, c))?.broadcast_as((n, out, c))?;
            return weight.matmul(&x.reshape((n, c, h * w))?)?.reshape((n, out, h, w));
        }
        if sv != sh || dv != dh {
            return unsupported("a convolution whose stride or dilation differs by direction");
        }
        self.conv2d(&pad(x, pads, 0.0)?, weight, sv, dv, groups)
    }

    pub(super) fn pool(self, x: &Tensor, kind: PoolKind, window: &Window, output: Shape) -> CandleResult {
        let (_, _, h, w) = x.dims4()?;
        let ([kh, kw], [sv, sh]) = (window.kernel, window.stride);
        if window.dilation != [1, 1] {
            return unsupported("a dilated pool");
        }
        let [top, bottom, left, right] = window.pads([h, w]);
        let [_, _, oh, ow] = output;
        // Windows that `ceil` adds hang over the border: as much more padding as the last one needs.
        let over = |out: usize, stride: usize, kernel: usize, size: usize| {
            (out.saturating_sub(1) * stride + kernel).saturating_sub(size)
        };
        let more_v = over(oh, sv, kh, h + top + bottom);
        let more_h = over(ow, sh, kw, w + left + right);
        let value = if kind == PoolKind::Max { f32::NEG_INFINITY } else { 0.0 };
        let padded = pad(x, [top, bottom + more_v, left, right + more_h], value)?;
        let mean = match (self, kind) {
            (Mode::Training, _) => {
                gradient::Pooling { kind, kernel: window.kernel, stride: window.stride }.of(&padded)?
            }
            (Mode::Inference, PoolKind::Max) => padded.max_pool2d_with_stride((kh, kw), (sv, sh))?,
            (Mode::Inference, PoolKind::Average { .. }) => {
                padded.avg_pool2d_with_stride((kh, kw), (sv, sh))?
            }
        };
        let PoolKind::Average { count_padding } = kind else { return Ok(mean) };
        // Each window's mean is over kh·kw; torch divides by the part inside the border, or inside the image.
        let inside = |i: usize, stride: usize, kernel: usize, before: usize, size: usize, after: usize| {
            let (low, high) =
                if count_padding { (0, before + size + after) } else { (before, before + size) };
            (i * stride + kernel).min(high).saturating_sub((i * stride).max(low))
        };
        let mut factors = Vec::with_capacity(oh * ow);
        for i in 0..oh {
            let rows = inside(i, sv, kh, top, h, bottom);
            factors.extend((0..ow).map(|j| {
                let count = rows * inside(j, sh, kw, left, w, right);
                (kh * kw) as f32 / count.max(1) as f32
            }));
        }
        if factors.iter().all(|&f| f == 1.0) {
            Ok(mean)
        } else {
            mean.broadcast_mul(&Tensor::from_vec(factors, (1, 1, oh, ow), x.device())?)
        }
    }
}

/// An activation.
pub(super) fn activate(x: &Tensor, kind: Activation, mode: Mode) -> CandleResult {
    let sigmoid = |x: &Tensor| match mode {
        Mode::Inference => (x.neg()?.exp()? + 1.0)?.recip(),
        Mode::Training => gradient::sigmoid(x),
    };
    let hard_sigmoid = |x: &Tensor| (x + 3.0)?.clamp(0f32, 6f32)? / 6.0;
    match kind {
        Activation::Relu => x.relu(),
        Activation::Relu6 => x.clamp(0f32, 6f32),
        Activation::Silu => x * sigmoid(x)?,
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid => hard_sigmoid(x),
        Activation::HardSwish => x * hard_sigmoid(x)?,
        Activation::LeakyRelu(slope) => x.relu()? - (x.neg()?.relu()? * f64::from(slope))?,
        Activation::Gelu => x.gelu_erf(),
        // softplus(x) = max(x, 0) + ln(1 + exp(-|x|)), which cannot overflow.
        Activation::Mish => x * (x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?.tanh()?,
    }
}
