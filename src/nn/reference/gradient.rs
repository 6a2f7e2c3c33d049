//! Operations of candle's whose gradient is missing in candle, or is another than torch's, with a gradient of ours.
//!
//! In: tensors of the reference while it is trained. Out: the values that candle computes, to rounding, as candle's custom
//! operations, whose way back is here. Called by [`super`].
//!
//! | operation | candle's own way back |
//! | --- | --- |
//! | convolution | copies the whole map for each group, refuses maps whose sides need other padding |
//! | max pool | none where windows overlap, else divided by the window's size; torch's goes to the first maximum whole |
//! | average pool | none where windows overlap; drops rows that no window reaches from the shape |
//! | nearest upsampling | forgets what other readers of the map added |

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Error, Layout, Result, Shape, Tensor};

use crate::graph::PoolKind;

/// A convolution without padding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolution {
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) groups: usize,
}

impl Convolution {
    /// `[n, c, h, w]` by `[out, c / groups, kh, kw]`.
    pub(super) fn of(self, x: &Tensor, filter: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op2(&filter.contiguous()?, self)
    }
}

/// Which pixels the positions of a window are, of maps of `[channels, height, width]`.
struct Columns {
    map: [usize; 3],
    kernel: [usize; 2],
    output: [usize; 2],
    stride: usize,
    dilation: usize,
}

impl Columns {
    /// Values of a map laid out by window.
    fn len(&self) -> usize {
        self.map[0] * self.kernel.iter().product::<usize>() * self.output.iter().product::<usize>()
    }

    /// Calls `pair` with each value's place among the columns `[channel, row of the kernel, column of it, row of the
    /// output, column of it]` and in the map.
    fn each(&self, mut pair: impl FnMut(usize, usize)) {
        let ([channels, height, width], [kh, kw], [oh, ow]) = (self.map, self.kernel, self.output);
        let mut at = 0;
        for channel in 0..channels {
            for (a, b) in (0..kh).flat_map(|a| (0..kw).map(move |b| (a, b))) {
                for i in 0..oh {
                    let row = (channel * height + i * self.stride + a * self.dilation) * width;
                    for j in 0..ow {
                        pair(at, row + j * self.stride + b * self.dilation);
                        at += 1;
                    }
                }
            }
        }
    }

    /// The values under each window.
    fn unfold(&self, map: &[f32]) -> Vec<f32> {
        let mut columns = vec![0.0; self.len()];
        self.each(|column, pixel| {
            if let (Some(to), Some(from)) = (columns.get_mut(column), map.get(pixel)) {
                *to = *from;
            }
        });
        columns
    }

    /// The sum of what all windows say of a pixel.
    fn fold(&self, columns: &[f32]) -> Vec<f32> {
        let mut map = vec![0.0; self.map.iter().product()];
        self.each(|column, pixel| {
            if let (Some(to), Some(from)) = (map.get_mut(pixel), columns.get(column)) {
                *to += *from;
            }
        });
        map
    }
}

/// A convolution of several groups, one product of a filter's value and a row after another: groups are small, and a matrix
/// product for each would mostly be overhead.
struct Grouped {
    /// `[images, channels, height, width]`
    map: [usize; 4],
    /// `[outputs, channels / groups, height, width]`
    filter: [usize; 4],
    output: [usize; 2],
    convolution: Convolution,
}

impl Grouped {
    /// Calls `row` with the place of a filter's value, and of the first of `output[1]` values of a row of the result and of
    /// the map: those of the map are a stride apart.
    fn each(&self, mut row: impl FnMut(usize, usize, usize)) {
        let ([images, channels, height, width], [outputs, per, kh, kw]) = (self.map, self.filter);
        let ([oh, ow], Convolution { stride, dilation, groups }) = (self.output, self.convolution);
        let of_group = (outputs / groups.max(1)).max(1);
        for (image, output) in (0..images).flat_map(|image| (0..outputs).map(move |output| (image, output))) {
            let first = image * channels + output / of_group * per;
            for (at, (a, b)) in (0..per).flat_map(|at| (0..kh * kw).map(move |k| (at, (k / kw, k % kw)))) {
                let value = ((output * per + at) * kh + a) * kw + b;
                for i in 0..oh {
                    let from = ((first + at) * height + i * stride + a * dilation) * width + b * dilation;
                    row(value, ((image * outputs + output) * oh + i) * ow, from);
                }
            }
        }
    }

    /// The values of a row of the map, of those that belong to a row of the result.
    fn reach(&self) -> usize {
        self.output[1].saturating_sub(1) * self.convolution.stride + 1
    }

    fn forward(&self, map: &[f32], filter: &[f32]) -> Vec<f32> {
        let [ow, reach, stride] = [self.output[1], self.reach(), self.convolution.stride];
        let mut result = vec![0f32; self.map[0] * self.filter[0] * self.output[0] * ow];
        self.each(|value, to, from| {
            let (Some(to), Some(from)) = (result.get_mut(to..to + ow), map.get(from..from + reach)) else {
                return;
            };
            let value = filter.get(value).copied().unwrap_or_default();
            to.iter_mut().zip(from.iter().step_by(stride)).for_each(|(y, x)| *y += value * x);
        });
        result
    }

    /// The gradients of the map and of the filter.
    fn backward(&self, map: &[f32], filter: &[f32], gradient: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let [ow, reach, stride] = [self.output[1], self.reach(), self.convolution.stride];
        let (mut of_map, mut of_filter) = (vec![0f32; map.len()], vec![0f32; filter.len()]);
        self.each(|value, at, from| {
            let rows =
                (of_map.get_mut(from..from + reach), map.get(from..from + reach), gradient.get(at..at + ow));
            let (Some(to), Some(from), Some(gradient)) = rows else { return };
            let weight = filter.get(value).copied().unwrap_or_default();
            to.iter_mut().step_by(stride).zip(gradient).for_each(|(x, g)| *x += weight * g);
            if let Some(sum) = of_filter.get_mut(value) {
                *sum += from.iter().step_by(stride).zip(gradient).map(|(x, g)| x * g).sum::<f32>();
            }
        });
        (of_map, of_filter)
    }
}

impl Convolution {
    /// What there is to do for several groups.
    fn grouped(self, x: &Tensor, filter: &Tensor) -> Result<Grouped> {
        let ((n, c, h, w), (out, per, kh, kw)) = (x.dims4()?, filter.dims4()?);
        let side = |size: usize, kernel: usize| {
            size.saturating_sub(self.dilation * kernel.saturating_sub(1) + 1) / self.stride.max(1) + 1
        };
        let output = [side(h, kh), side(w, kw)];
        Ok(Grouped { map: [n, c, h, w], filter: [out, per, kh, kw], output, convolution: self })
    }
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        of_x: &Layout,
        filter: &CpuStorage,
        of_filter: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, filter) = (tensor(x, of_x)?, tensor(filter, of_filter)?);
        if self.groups == 1 {
            return stored(&x.conv2d(&filter, 0, self.stride, self.dilation, 1)?);
        }
        let grouped = self.grouped(&x, &filter)?;
        let ([n, ..], [out, ..], [oh, ow]) = (grouped.map, grouped.filter, grouped.output);
        let result = grouped.forward(&values(&x)?, &values(&filter)?);
        Ok((CpuStorage::F32(result), Shape::from((n, out, oh, ow))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        filter: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((n, c, h, w), (out, per, kh, kw)) = (x.dims4()?, filter.dims4()?);
        let (_, _, oh, ow) = gradient.dims4()?;
        let device = x.device();
        if self.groups > 1 {
            let grouped = self.grouped(x, filter)?;
            let [x, filter] = [values(&x.detach())?, values(&filter.detach())?];
            let (of_x, of_filter) = grouped.backward(&x, &filter, &values(gradient)?);
            let of_x = Tensor::from_vec(of_x, (n, c, h, w), device)?;
            return Ok((Some(of_x), Some(Tensor::from_vec(of_filter, (out, per, kh, kw), device)?)));
        }
        let columns = Columns {
            map: [c, h, w],
            kernel: [kh, kw],
            output: [oh, ow],
            stride: self.stride,
            dilation: self.dilation,
        };
        let filters = filter.detach().reshape((out, c * kh * kw))?;
        let filters_back = filters.t()?;
        let mut of_filter = filters.zeros_like()?;
        let mut of_x = Vec::with_capacity(n);
        // An image at a time: the windows' values of all would be many times the map.
        for image in 0..n {
            let gradient = gradient.get(image)?.reshape((out, oh * ow))?;
            if filter.track_op() {
                let unfolded = columns.unfold(&values(&x.detach().get(image)?)?);
                let unfolded = Tensor::from_vec(unfolded, (c * kh * kw, oh * ow), device)?;
                of_filter = (of_filter + gradient.matmul(&unfolded.t()?)?)?;
            }
            if x.track_op() {
                let folded = columns.fold(&values(&filters_back.matmul(&gradient)?)?);
                of_x.push(Tensor::from_vec(folded, (1, c, h, w), device)?);
            }
        }
        let of_x = if of_x.is_empty() { None } else { Some(Tensor::cat(&of_x, 0)?) };
        Ok((of_x, Some(of_filter.reshape(filter.shape())?)))
    }
}

/// A pool without padding; an average is over the whole window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pooling {
    pub(super) kind: PoolKind,
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
}

impl Pooling {
    /// Of `[n, c, h, w]`.
    pub(super) fn of(self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op1(self)
    }
}

impl CustomOp1 for Pooling {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = tensor(x, layout)?;
        let ([kh, kw], [sv, sh]) = (self.kernel, self.stride);
        stored(&match self.kind {
            PoolKind::Max => x.max_pool2d_with_stride((kh, kw), (sv, sh))?,
            PoolKind::Average { .. } => x.avg_pool2d_with_stride((kh, kw), (sv, sh))?,
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let ((n, c, h, w), (_, _, oh, ow)) = (x.dims4()?, gradient.dims4()?);
        let ([kh, kw], [sv, sh]) = (self.kernel, self.stride);
        let (maps, gradients) = (values(&x.detach())?, values(gradient)?);
        let mut of_x = vec![0f32; maps.len()];
        let size = (h * w).max(1);
        let parts = of_x.chunks_mut(size).zip(maps.chunks(size)).zip(gradients.chunks((oh * ow).max(1)));
        for ((of_map, map), gradient) in parts {
            for (at, gradient) in gradient.iter().enumerate() {
                let first = at / ow * sv * w + at % ow * sh;
                let window = (0..kh).flat_map(|a| (0..kw).map(move |b| first + a * w + b));
                let mut add = |pixel: usize, value: f32| {
                    if let Some(sum) = of_map.get_mut(pixel) {
                        *sum += value;
                    }
                };
                match self.kind {
                    PoolKind::Max => {
                        let value = |pixel: usize| map.get(pixel).copied().unwrap_or(f32::NEG_INFINITY);
                        // The first of several, as torch has it.
                        let most = window.reduce(
                            |best, pixel| {
                                if value(pixel) > value(best) { pixel } else { best }
                            },
                        );
                        most.into_iter().for_each(|pixel| add(pixel, *gradient));
                    }
                    PoolKind::Average { .. } => {
                        let part = gradient / (kh * kw) as f32;
                        window.for_each(|pixel| add(pixel, part));
                    }
                }
            }
        }
        Ok(Some(Tensor::from_vec(of_x, (n, c, h, w), x.device())?))
    }
}

/// The nearest pixel of a smaller map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upsampling {
    /// `[height, width]` of the result.
    pub(super) output: [usize; 2],
}

impl Upsampling {
    /// Of `[n, c, h, w]`.
    pub(super) fn of(self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op1(self)
    }
}

impl CustomOp1 for Upsampling {
    fn name(&self) -> &'static str {
        "upsample"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [h, w] = self.output;
        stored(&tensor(x, layout)?.upsample_nearest2d(h, w)?)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let ((n, c, h, w), [oh, ow]) = (x.dims4()?, self.output);
        let mut of_x = vec![0f32; n * c * h * w];
        let gradients = values(gradient)?;
        let parts = of_x.chunks_mut((h * w).max(1)).zip(gradients.chunks((oh * ow).max(1)));
        for (of_map, gradient) in parts {
            for (at, gradient) in gradient.iter().enumerate() {
                if let Some(sum) = of_map.get_mut(at / ow * h / oh * w + at % ow * w / ow) {
                    *sum += gradient;
                }
            }
        }
        Ok(Some(Tensor::from_vec(of_x, (n, c, h, w), x.device())?))
    }
}

/// `1 / (1 + exp(-x))` by the hyperbolic tangent: nothing overflows, so no gradient is infinity times nothing.
pub(super) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    ((x * 0.5)?.tanh()? + 1.0)? * 0.5
}

/// What candle hands to an operation, as a tensor again.
fn tensor(storage: &CpuStorage, layout: &Layout) -> Result<Tensor> {
    let none = || Error::Msg("an operand does not lie in one piece".into());
    let (start, end) = layout.contiguous_offsets().ok_or_else(none)?;
    let values = storage.as_slice::<f32>()?.get(start..end).ok_or_else(none)?;
    Tensor::from_slice(values, layout.shape(), &candle_core::Device::Cpu)
}

/// A tensor as candle takes it from an operation.
fn stored(tensor: &Tensor) -> Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(values(tensor)?), tensor.shape().clone()))
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::seeded;

    /// Values of which no two are nearer than differences are apart, or another would become the maximum.
    fn var(shape: &[usize]) -> Var {
        let count: usize = shape.iter().product();
        let values: Vec<f32> =
            (0..count).map(|i| (i * 37 % count) as f32 * 2.0 / count as f32 - 1.0).collect();
        Var::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// Holds the gradient that `result`, a tensor weighed by seeded numbers, has for `var` to differences: every operation
    /// here is straight where a step crosses no other maximum.
    fn agrees(what: &str, var: &Var, result: &dyn Fn() -> Tensor) {
        let count = result().elem_count();
        let weights: Vec<f32> = seeded::uniform(8, "weights", count).map(|u| u as f32).collect();
        let y = result();
        let loss = (&y * Tensor::from_slice(&weights, y.shape(), &Device::Cpu).unwrap()).unwrap().sum_all();
        let gradient = loss.unwrap().backward().unwrap().get(var).unwrap().clone();
        let gradient = values(&gradient).unwrap();
        // In double precision: a slope is a small difference of large sums.
        let value = || -> f64 {
            let y = values(&result()).unwrap();
            y.iter().zip(&weights).map(|(y, weight)| f64::from(*y) * f64::from(*weight)).sum()
        };
        let start: Vec<f32> = var.flatten_all().unwrap().to_vec1().unwrap();
        const STEP: f32 = 1.0 / 1024.0;
        for (at, gradient) in gradient.iter().enumerate() {
            let moved = |step: f32| {
                let mut values = start.clone();
                values[at] += step;
                var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
                value()
            };
            let slope = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
            assert!((slope - f64::from(*gradient)).abs() < 5e-3, "{what}, {at}: {gradient} for {slope}");
        }
        var.set(&Tensor::from_vec(start, var.shape(), &Device::Cpu).unwrap()).unwrap();
    }

    #[test]
    fn gradients_are_slopes() {
        // Sides of which one is odd: a stride of 2 leaves a row of the one over, none of the other.
        let x = var(&[2, 4, 7, 6]);
        for (stride, dilation, groups) in [(1, 1, 1), (2, 1, 2), (1, 2, 4), (2, 1, 4)] {
            let filter = var(&[8, 4 / groups, 3, 3]);
            let y = || Convolution { stride, dilation, groups }.of(&x, &filter).unwrap();
            agrees("a convolution's map", &x, &y);
            agrees("a convolution's filter", &filter, &y);
        }
        for (kernel, stride) in [([3, 3], [2, 2]), ([2, 2], [2, 2]), ([3, 2], [1, 1])] {
            for kind in [PoolKind::Max, PoolKind::Average { count_padding: true }] {
                agrees("a pool", &x, &|| Pooling { kind, kernel, stride }.of(&x).unwrap());
            }
        }
        // Two readers of one map.
        let small = var(&[1, 2, 2, 3]);
        let y = || {
            (
                Upsampling { output: [4, 9] }.of(&small).unwrap().sum((2, 3)).unwrap(),
                small.sum((2, 3)).unwrap(),
            )
        };
        agrees("upsampling", &small, &|| {
            let (a, b) = y();
            ((a * 2.0).unwrap() + b).unwrap()
        });
        agrees("a sigmoid", &x, &|| sigmoid(&x).unwrap());
    }

    #[test]
    fn the_first_of_equal_maxima_has_the_gradient_and_far_values_have_some() {
        let x = Var::from_slice(&[1f32, 3.0, 3.0, 2.0], &[1, 1, 2, 2], &Device::Cpu).unwrap();
        let pool = Pooling { kind: PoolKind::Max, kernel: [2, 2], stride: [1, 1] }.of(&x).unwrap();
        let gradient = pool.sum_all().unwrap().backward().unwrap().get(&x).unwrap().clone();
        assert_eq!(gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.0, 1.0, 0.0, 0.0]);
        let far = Var::from_slice(&[-200f32, 200.0], 2, &Device::Cpu).unwrap();
        let gradient =
            sigmoid(&far).unwrap().sum_all().unwrap().backward().unwrap().get(&far).unwrap().clone();
        assert_eq!(gradient.to_vec1::<f32>().unwrap(), [0.0, 0.0]);
    }
}
