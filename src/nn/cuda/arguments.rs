//! The kernels' arguments: each the C struct of its kernel (`kernels/*.cu`), field by field.
//!
//! Made by `schedule`; the batch's part is filled in for each launch by `step`. Addresses are the card's, sizes are checked to
//! fit where an argument is made.

#![allow(unsafe_code)]

use super::driver::Argument;
use crate::graph::Activation;

/// `Activation`.
#[repr(C)]
#[derive(Clone, std::marker::Copy, Debug, Default)]
pub(super) struct ActivationArg {
    kind: i32,
    slope: f32,
}

impl From<Option<Activation>> for ActivationArg {
    fn from(activation: Option<Activation>) -> Self {
        let (kind, slope) = match activation {
            None => (0, 0.0),
            Some(Activation::Relu) => (1, 0.0),
            Some(Activation::Relu6) => (2, 0.0),
            Some(Activation::Silu) => (3, 0.0),
            Some(Activation::Sigmoid) => (4, 0.0),
            Some(Activation::HardSigmoid) => (5, 0.0),
            Some(Activation::HardSwish) => (6, 0.0),
            Some(Activation::LeakyRelu(slope)) => (7, slope),
            Some(Activation::Gelu) => (8, 0.0),
            Some(Activation::Mish) => (9, 0.0),
        };
        ActivationArg { kind, slope }
    }
}

/// Whether the kernels of convolutions apply it themselves (`activate` in `kernels/common.cu`).
pub(super) fn is_fused(activation: Option<Activation>) -> bool {
    match activation {
        None
        | Some(
            Activation::Relu
            | Activation::Relu6
            | Activation::Silu
            | Activation::HardSwish
            | Activation::LeakyRelu(_),
        ) => true,
        Some(Activation::Sigmoid | Activation::HardSigmoid | Activation::Gelu | Activation::Mish) => false,
    }
}

/// An argument that says where its kernel writes that it has begun, and what.
pub(super) trait Traced: Sized {
    fn traced(self, trace: (u64, u32)) -> Self;
}

macro_rules! arguments {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, std::marker::Copy, Debug, Default)]
            pub(super) struct $name {
                $(pub(super) $field: $type,)*
                /// [`Traced`].
                pub(super) begun: u64,
                pub(super) layer: u32,
                pub(super) unused_at_end: u32,
            }

            // SAFETY: `repr(C)`, with the fields of the struct of its name in `kernels/*.cu`; the tests hold sizes to
            // those that the host's compiler gives.
            unsafe impl Argument for $name {}

            impl Traced for $name {
                fn traced(self, (begun, layer): (u64, u32)) -> Self {
                    $name { begun, layer, ..self }
                }
            }
        )*
    };
}

arguments! {
    /// Any convolution that is not depthwise.
    Conv {
        input: u64, weight: u64, bias: u64, residual: u64, gate: u64, output: u64,
        rows: i32, columns: i32, depth: i32,
        height: i32, width: i32, channels: i32, pitch: i32,
        out_width: i32, out_pixels: i32,
        taps_x: i32, stride_y: i32, stride_x: i32, dilation_y: i32, dilation_x: i32, top: i32, left: i32,
        weight_pitch: i32, out_pitch: i32, tiles_x: i32,
        before: ActivationArg, after: ActivationArg, unused: i32,
    }
    Linear {
        input: u64, weight: u64, bias: u64, output: u64,
        images: i32, depth: i32, outputs: i32, unused: i32, activation: ActivationArg,
    }
    Mix { experts: u64, share: u64, weight: u64, quads: i64, count: i32, pitch: i32 }
    Depthwise {
        input: u64, weight: u64, bias: u64, output: u64, sums: u64,
        height: i32, width: i32, out_height: i32, out_width: i32, channels: i32,
        top: i32, left: i32, dilation_y: i32, dilation_x: i32, stride_y: i32, stride_x: i32, taps_y: i32, taps_x: i32,
        lanes: i32, chunk: i32, blocks_x: i32, blocks: i32, activation: ActivationArg, unused: i32,
    }
    Mean { sums: u64, output: u64, images: i32, parts: i32, channels: i32, count: f32 }
    Elementwise {
        input: u64, gate: u64, centre: u64, scale: u64, shift: u64, addend: u64, factor: u64, output: u64, quads: i64,
        channels: i32, pixels: i32, own: i32, activation: ActivationArg, unused: i32,
    }
    Sums { input: u64, centre: u64, sums: u64, squares: u64, pixels: i32, channels: i32, chunk: i32, parts: i32 }
    GroupNorm {
        sums: u64, squares: u64, weight: u64, bias: u64, mean: u64, scale: u64, shift: u64,
        parts: i32, channels: i32, groups: i32, each: i32, count: f32, eps: f32,
    }
    Pool {
        input: u64, output: u64, quads: i64,
        channels: i32, height: i32, width: i32, out_height: i32, out_width: i32,
        taps_y: i32, taps_x: i32, stride_y: i32, stride_x: i32, dilation_y: i32, dilation_x: i32,
        top: i32, left: i32, bottom: i32, right: i32, kind: i32,
    }
    Blur {
        input: u64, output: u64, quads: i64,
        channels: i32, height: i32, width: i32, out_height: i32, out_width: i32, size: i32, stride: i32, unused: i32,
    }
    Image { input: u64, output: u64, count: i64, pixels: i32, channels: i32, pitch: i32, unused: i32 }
    Copy { input: u64, output: u64, count: i64, channels: i32, written: i32, from: i32, to: i32 }
    Frame {
        input: u64, output: u64, quads: i64,
        channels: i32, height: i32, width: i32, out_height: i32, out_width: i32, top: i32, left: i32, reflect: i32,
        factor: i32, unused: i32,
    }
    Blocks {
        input: u64, output: u64, count: i64,
        channels: i32, pitch: i32, width: i32, out_pixels: i32, out_width: i32, out_channels: i32, out_pitch: i32, block: i32,
    }
    Softmax { input: u64, output: u64, count: i32, channels: i32, pitch: i32, parts: i32, groups: i32, run: i32 }
    ChannelConv { input: u64, weight: u64, output: u64, count: i32, channels: i32, pitch: i32, taps: i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sizeof` of each struct, as a C++ compiler for x86-64 says it; a card's pointers and numbers are of the same sizes.
    #[test]
    fn every_argument_has_the_size_of_its_struct() {
        macro_rules! sizes {
            ($($name:ident: $size:literal),* $(,)?) => { $(assert_eq!(size_of::<$name>(), $size, stringify!($name));)* };
        }
        sizes! {
            Conv: 160, Linear: 72, Mix: 56, Depthwise: 136, Mean: 48, Elementwise: 112, Sums: 64, GroupNorm: 96, Pool: 104,
            Blur: 72, Image: 56, Copy: 56, Frame: 80, Blocks: 72, Softmax: 56, ChannelConv: 56,
        }
    }
}
