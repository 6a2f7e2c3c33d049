//! A layer's tensors: checked against the graph, batch norm folded into filters and biases, packed in the
//! order in which a pass reads them.
//!
//! In: the graph's weights by name. Out: places in one long run of values. Called by `build`.

use crate::fold::{Affine, Tensors};
use crate::graph::{Graph, Op, ValueError, WeightId};
use crate::lower::{Conv, Norm};
use crate::weights::Weights;
use zoo_kernels::groups::Groups;
use zoo_kernels::memory::BufferWriter;
use zoo_kernels::{Isa, pack};

use super::Error;
use super::context::{Block, Region};

/// A convolution whose filters are mixed out of several experts'.
pub(super) struct Mixed {
    pub(super) weight: WeightId,
    pub(super) experts: usize,
    /// Inputs of a filter: one where it is depthwise.
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) taps: usize,
}

impl Mixed {
    /// Of an operation on so many channels that kernels can run: one of one group, or a depthwise one.
    pub(super) fn of(op: &Op, channels: usize) -> Option<Self> {
        let Op::CondConv { weight, experts, out, groups, window } = op else { return None };
        let depthwise = *groups == channels && channels == *out;
        let inputs = match groups {
            1 => channels,
            _ if depthwise => 1,
            _ => return None,
        };
        let taps = window.kernel.iter().product();
        Some(Mixed { weight: *weight, experts: *experts, inputs, outputs: *out, taps })
    }

    /// Values of one expert's packed filters.
    pub(super) fn packed_len(&self, lanes: usize) -> usize {
        pack::packed_len(self.outputs, self.inputs * self.taps, lanes)
    }
}

/// The packed weights as they grow.
pub(super) struct Packer<'a> {
    pub(super) graph: &'a Graph,
    pub(super) weights: &'a dyn Weights,
    pub(super) isa: Isa,
    pub(super) packed: BufferWriter,
}

impl<'a> Packer<'a> {
    /// A tensor's values as its operation reads them.
    pub(super) fn tensor(&self, id: WeightId) -> Result<std::borrow::Cow<'a, [f32]>, Error> {
        self.tensors().tensor(id).map_err(|e| self.error(e))
    }

    /// Batch norm as a factor and an addend.
    pub(super) fn affine(&self, norm: &Norm) -> Result<Affine, Error> {
        self.tensors().affine(norm).map_err(|e| self.error(e))
    }

    /// What norm and bias of a convolution come to together.
    pub(super) fn folded(&self, conv: &Conv) -> Result<Affine, Error> {
        self.tensors().folded(conv).map_err(|e| self.error(e))
    }

    fn tensors(&self) -> Tensors<'a> {
        Tensors { graph: self.graph, weights: self.weights }
    }

    fn error(&self, error: ValueError) -> Error {
        let model = self.graph.name.clone();
        match error {
            ValueError::Missing(tensor) => Error::Missing { model, tensor },
            ValueError::Shape { name, expected, found } => {
                Error::Shape { model, tensor: name, expected, found }
            }
        }
    }

    /// Packs `fill` from a new cache line on, and says where.
    pub(super) fn region(&mut self, fill: impl FnOnce(&mut BufferWriter, Isa)) -> Region {
        let at = self.packed.align();
        fill(&mut self.packed, self.isa);
        Region { at, len: self.packed.len() - at }
    }

    /// A vector over channels, filled up to whole vectors.
    pub(super) fn vector(&mut self, values: &[f32]) -> Region {
        self.region(|to, isa| pack::pad(values, isa.lanes(), to))
    }

    /// The weights of an operation by its definition: batch norm's as scale and shift, others as they are.
    pub(super) fn plain(&mut self, op: &Op) -> Result<Vec<Region>, Error> {
        match op {
            Op::BatchNorm { weight, bias, mean, var, eps } => {
                let norm = Norm { weight: *weight, bias: *bias, mean: *mean, var: *var, eps: *eps };
                let Affine { scale, shift } = self.affine(&norm)?;
                Ok([scale, shift].map(|values| self.vector(&values)).into())
            }
            Op::GroupNorm { .. }
            | Op::Scale(_)
            | Op::Upsample { .. }
            | Op::Softmax { .. }
            | Op::Pad { .. }
            | Op::Crop { .. }
            | Op::Blur { .. }
            | Op::SpaceToDepth { .. }
            | Op::ChannelConv { .. }
            | Op::CondConv { .. }
            | Op::Input { .. }
            | Op::Conv { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool
            | Op::Linear { .. } => {
                let tensors = op.weights().into_iter().map(|id| {
                    let values = self.tensor(id)?;
                    Ok(self.region(|to, _| to.extend(values.iter().copied())))
                });
                tensors.collect()
            }
        }
    }

    /// Packs the filters of every expert of a mixed convolution, one expert's after another's.
    pub(super) fn experts(&mut self, mixed: &Mixed) -> Result<Region, Error> {
        let weight = self.tensor(mixed.weight)?;
        let &Mixed { inputs, outputs, taps, .. } = mixed;
        let each = outputs * inputs * taps;
        Ok(self.region(|to, isa| {
            for expert in weight.chunks_exact(each.max(1)) {
                // Taps first, then channels; torch has the taps last.
                let value = |d: usize| {
                    let (tap, i) = (d / inputs.max(1), d % inputs.max(1));
                    move |o: usize| expert.get((o * inputs + i) * taps + tap).copied().unwrap_or(0.0)
                };
                pack::pack(outputs, inputs * taps, isa, to, value);
            }
        }))
    }

    /// Packs a convolution of one group: taps, then channels; or, for one that reads the image's planes, in torch's order.
    pub(super) fn block(&mut self, conv: &Conv, torch_order: bool) -> Result<Block, Error> {
        let weight = self.tensor(conv.weight)?;
        let Affine { scale, shift } = self.folded(conv)?;
        let taps = conv.window.kernel.iter().product::<usize>();
        let inputs = conv.inputs;
        let depth = inputs * taps;
        let (weight, scale) = (&weight[..], &scale[..]);
        let packed = |d: usize| {
            let (tap, i) = if torch_order { (d % taps, d / taps) } else { (d / inputs, d % inputs) };
            move |o: usize| match (weight.get((o * inputs + i) * taps + tap), scale.get(o)) {
                (Some(w), Some(s)) => w * s,
                _ => 0.0,
            }
        };
        let weights = self.region(|to, isa| pack::pack(conv.outputs, depth, isa, to, packed));
        Ok(Block {
            inputs: if torch_order { depth } else { conv.inputs },
            vectors: pack::vectors(conv.outputs, self.isa.lanes()),
            weights,
            bias: self.vector(&shift),
        })
    }

    /// Packs a convolution of several groups, bundle after bundle: its filters, and its bias.
    pub(super) fn grouped(&mut self, conv: &Conv, groups: &Groups) -> Result<[Region; 2], Error> {
        let weight = self.tensor(conv.weight)?;
        let Affine { scale, shift } = self.folded(conv)?;
        let kernel = conv.window.kernel;
        let value = |output: usize, input: usize, [row, column]: [usize; 2]| {
            let at = ((output * groups.inputs + input) * kernel[0] + row) * kernel[1] + column;
            match (weight.get(at), scale.get(output)) {
                (Some(w), Some(s)) => w * s,
                _ => 0.0,
            }
        };
        let bundles = |isa: Isa| (0..groups.bundles(isa.lanes())).map(move |i| groups.bundle(i, isa.lanes()));
        let weights = self.region(|to, isa| {
            bundles(isa).for_each(|bundle| groups.pack(&bundle, kernel, isa, to, value));
        });
        let bias = self.region(|to, isa| {
            let value = |output: usize| shift.get(output).copied().unwrap_or(0.0);
            bundles(isa).for_each(|bundle| groups.pack_bias(&bundle, isa, to, value));
        });
        Ok([weights, bias])
    }
}
