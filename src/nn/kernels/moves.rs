//! What moves whole pixels and computes nothing: borders, crops, repeats, blocks into channels. The same values as by
//! the definitions in [`super::plain`], copied in runs.
//!
//! In: an NHWC map. Out: some rows of an NHWC map. Called by `nn::plan`.

use std::ops::Range;

use super::plain::{FeatureMap, FeatureMapMut, inside_border};

/// Copies `count` pixels, and the lanes beyond their last channel.
fn copy(input: FeatureMap<'_>, from: usize, output: FeatureMapMut<'_>, to: usize, count: usize) {
    let pitch = input.pitch;
    output.values.copy_blocks((to * pitch, 0), (input.values, from * pitch, 0), count * pitch, 1);
}

/// Rows and columns around a map, the first `[rows, columns]` above and to the left: zeros, or the map mirrored.
pub fn pad(
    input: FeatureMap<'_>,
    [top, left]: [usize; 2],
    reflect: bool,
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    let ([h, w], [_, wide]) = (input.size, output.size);
    assert_eq!(input.pitch, output.pitch);
    let zero = |to: usize, count: usize| {
        output.values.part(to * output.pitch, count * output.pitch).zero();
    };
    for y in rows {
        let at = y * wide;
        let Some(row) = inside_border(y, top, h, reflect) else {
            zero(at, wide);
            continue;
        };
        let inner = w.min(wide.saturating_sub(left));
        copy(input, row * w, output, at + left, inner);
        for x in (0..left.min(wide)).chain(left + inner..wide) {
            match inside_border(x, left, w, reflect) {
                Some(column) => copy(input, row * w + column, output, at + x, 1),
                None => zero(at + x, 1),
            }
        }
    }
}

/// A map without its first `[rows, columns]`.
pub fn crop(input: FeatureMap<'_>, [top, left]: [usize; 2], output: FeatureMapMut<'_>, rows: Range<usize>) {
    let ([_, w], [_, wide]) = (input.size, output.size);
    assert_eq!(input.pitch, output.pitch);
    for y in rows {
        copy(input, (y + top) * w + left, output, y * wide, wide);
    }
}

/// Each pixel `factor`×`factor` times.
pub fn upsample(input: FeatureMap<'_>, factor: usize, output: FeatureMapMut<'_>, rows: Range<usize>) {
    let ([_, w], [_, wide]) = (input.size, output.size);
    let (factor, pitch) = (factor.max(1), output.pitch);
    assert_eq!(input.pitch, pitch);
    for y in rows {
        for x in 0..w {
            let from = (y / factor * w + x) * pitch;
            let to = (y * wide + x * factor) * pitch;
            output.values.copy_blocks((to, pitch), (input.values, from, 0), pitch, factor);
        }
    }
}

/// Blocks of pixels into channels: channel `(row · block + column) · c + channel`.
pub fn space_to_depth(input: FeatureMap<'_>, block: usize, output: FeatureMapMut<'_>, rows: Range<usize>) {
    let ([_, w], [_, wide]) = (input.size, output.size);
    for y in rows {
        for x in 0..wide {
            for row in 0..block {
                let from = ((y * block + row) * w + x * block) * input.pitch;
                let to = (y * wide + x) * output.pitch + row * block * input.channels;
                let steps = (to, input.channels);
                output.values.copy_blocks(steps, (input.values, from, input.pitch), input.channels, block);
            }
        }
    }
}
