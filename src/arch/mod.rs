//! Architectures, one file per timm model file. An arch file computes nothing: it returns a graph.
//!
//! In: an architecture's timm name and a number of classes. Out: a [`Graph`] whose weights carry timm
//! 1.0.31's state-dict names, in timm's order. Called by `model`, `lint` and the verbs; knows nothing of
//! what reads a graph. Adding a model touches this folder only: a file with a table of variants, and a
//! line in `FAMILIES`.

#![deny(
    clippy::wildcard_enum_match_arm,
    reason = "the compiler names every reader that a new operation needs"
)]

mod cspnet;
mod densenet;
mod dla;
mod dpn;
mod efficientnet;
mod efficientnet_blocks;
mod efficientnet_builder;
pub mod facts;
mod gluon_xception;
mod hrnet;
mod inception;
mod inception_resnet_v2;
mod inception_v3;
mod inception_v4;
mod layers;
mod mobilenetv3;
mod nas_cells;
mod nasnet;
mod pnasnet;
mod pruned;
mod regnet;
mod res2net;
mod resnest;
mod resnet;
mod resnetv2;
mod rexnet;
mod selecsls;
mod senet;
mod sknet;
mod tresnet;
mod vovnet;
mod xception;
mod xception_aligned;

pub use facts::{Facts, facts, of_graph, recorded};

use crate::error::{Class, Classify};
use crate::nn::graph::{BuildError, Graph};

/// A graph could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No architecture has this name.
    #[error("unknown architecture `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Known names that look like it, best first.
        near: Vec<String>,
    },
    /// A definition does not make a graph.
    #[error(transparent)]
    Graph(#[from] BuildError),
    /// A definition string that cannot be read.
    #[error("architecture `{arch}`: cannot read `{part}` of block `{block}`")]
    Block {
        /// The architecture.
        arch: String,
        /// The block string.
        block: String,
        /// The part that cannot be read.
        part: String,
    },
}

impl Classify for Error {
    fn class(&self) -> Class {
        Class::BadInput
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Unknown { near, .. } if !near.is_empty() => {
                let names: Vec<_> = near.iter().map(|n| format!("`{n}`")).collect();
                Some(format!("did you mean {}?", names.join(" or ")))
            }
            Error::Graph(_) | Error::Unknown { .. } | Error::Block { .. } => None,
        }
    }
}

/// What an arch file offers: a table of names, and a graph for each of them.
struct Family<Config: 'static> {
    variants: &'static [(&'static str, Config)],
    graph: fn(&str, &Config, usize) -> Result<Graph, Error>,
    /// What published files call and lay out otherwise than timm's model.
    checkpoint_filter: Option<fn(&str) -> Option<Renamed>>,
    /// How many classes published classifiers may have in front of the model's.
    label_offset: usize,
}

impl<Config> Family<Config> {
    const fn new(
        variants: &'static [(&'static str, Config)],
        graph: fn(&str, &Config, usize) -> Result<Graph, Error>,
    ) -> Self {
        Family { variants, graph, checkpoint_filter: None, label_offset: 0 }
    }

    /// With published files that name or lay out tensors otherwise.
    const fn with_filter(mut self, filter: fn(&str) -> Option<Renamed>) -> Self {
        self.checkpoint_filter = Some(filter);
        self
    }

    /// With published files that have so many classes in front of the model's: TensorFlow's background class.
    const fn with_label_offset(mut self, offset: usize) -> Self {
        self.label_offset = offset;
        self
    }
}

/// A [`Family`] whatever its configuration is.
trait Offer: Sync {
    fn names(&self) -> Vec<&'static str>;
    fn build(&self, name: &str, classes: usize) -> Option<Result<Graph, Error>>;
    fn renamed(&self, tensor: &str) -> Option<Renamed>;
    fn label_offset(&self) -> usize;
}

impl<Config: Sync> Offer for Family<Config> {
    fn names(&self) -> Vec<&'static str> {
        self.variants.iter().map(|(name, _)| *name).collect()
    }

    fn build(&self, name: &str, classes: usize) -> Option<Result<Graph, Error>> {
        let (name, config) = self.variants.iter().find(|(known, _)| *known == name)?;
        Some((self.graph)(name, config, classes))
    }

    fn renamed(&self, tensor: &str) -> Option<Renamed> {
        self.checkpoint_filter.and_then(|filter| filter(tensor))
    }

    fn label_offset(&self) -> usize {
        self.label_offset
    }
}

/// What timm's model calls a tensor of a published file, and how its dimensions and values are stored there.
#[derive(Clone, Debug, PartialEq)]
pub struct Renamed {
    /// The state-dict name.
    pub name: String,
    /// For each dimension of timm's, which of the file's it is, as `torch.Tensor.permute` takes it; `None` where
    /// they are the same. A permuted view of the file costs nothing: only its strides change.
    pub permute: Option<&'static [usize]>,
    /// What is added to the magnitudes of the file's values, where timm's are those: the weights of an in-place
    /// norm, which count without their sign.
    pub magnitude_plus: Option<f64>,
}

impl Renamed {
    /// Another name, the same layout.
    fn to(name: String) -> Self {
        Renamed { name, permute: None, magnitude_plus: None }
    }
}

static FAMILIES: &[&dyn Offer] = &[
    &cspnet::FAMILY,
    &densenet::FAMILY,
    &dla::FAMILY,
    &dpn::FAMILY,
    &efficientnet::FAMILY,
    &gluon_xception::FAMILY,
    &hrnet::FAMILY,
    &inception_resnet_v2::FAMILY,
    &inception_v3::FAMILY,
    &inception_v4::FAMILY,
    &mobilenetv3::FAMILY,
    &nasnet::FAMILY,
    &pnasnet::FAMILY,
    &regnet::FAMILY,
    &res2net::FAMILY,
    &resnest::FAMILY,
    &resnet::FAMILY,
    &resnetv2::FAMILY,
    &rexnet::FAMILY,
    &selecsls::FAMILY,
    &senet::FAMILY,
    &sknet::FAMILY,
    &tresnet::FAMILY,
    &vovnet::FAMILY,
    &xception::FAMILY,
    &xception_aligned::FAMILY,
];

/// The family that an architecture is of.
fn family(arch: &str) -> Option<&'static dyn Offer> {
    FAMILIES.iter().copied().find(|f| f.names().contains(&arch))
}

/// Every architecture that can be built, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = FAMILIES.iter().flat_map(|f| f.names()).collect();
    names.sort_unstable();
    names
}

/// The graph of timm's architecture `name` with a classifier of `classes` outputs, for RGB images.
///
/// ```
/// # use zoo_library as zoo;
/// let graph = zoo::arch::build("tf_efficientnet_b0", 1000)?;
/// assert_eq!(graph.params(), 5_288_548);
/// # Ok::<(), zoo::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unknown`], with the nearest names.
pub fn build(name: &str, classes: usize) -> Result<Graph, Error> {
    match FAMILIES.iter().find_map(|f| f.build(name, classes)) {
        Some(graph) => graph,
        None => Err(Error::Unknown { name: name.to_owned(), near: nearest(name) }),
    }
}

/// timm's name and layout of a tensor that published files of an architecture have otherwise: what timm's
/// `checkpoint_filter_fn`s do. `None` for a tensor that they leave as it is.
pub fn checkpoint_filter(arch: &str, tensor: &str) -> Option<Renamed> {
    family(arch)?.renamed(tensor)
}

/// How many classes the classifier of an architecture's published files may have in front of the model's: the
/// background class of networks that TensorFlow trained. timm leaves them out by its `label_offset`.
pub fn label_offset(arch: &str) -> usize {
    family(arch).map_or(0, |f| f.label_offset())
}

/// At most three known names that look like `name`.
fn nearest(name: &str) -> Vec<String> {
    let mut scored: Vec<_> =
        names().into_iter().map(|n| (strsim::jaro_winkler(name, n), n)).filter(|(s, _)| *s > 0.85).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, n)| n.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_builds_and_runs_on_an_image() {
        for name in names() {
            let graph = build(name, 1000).unwrap();
            assert_eq!(graph.name, name);
            let shapes = graph.shapes([1, 3, 224, 224]).unwrap();
            assert_eq!(shapes.last(), Some(&[1, 1000, 1, 1]), "{name}");
            let mut seen = std::collections::BTreeSet::new();
            assert!(graph.weights.iter().all(|w| seen.insert(&w.name)), "{name}: a weight twice");
            let used: std::collections::BTreeSet<_> =
                graph.nodes.iter().flat_map(|n| n.op.weights()).map(|w| w.0).collect();
            for (i, w) in graph.weights.iter().enumerate() {
                assert_eq!(used.contains(&i), w.is_required(), "{name}: {}", w.name);
            }
            for tap in ["map", "pool", "logits"] {
                assert!(graph.tap(tap).is_some(), "{name} has no tap `{tap}`");
            }
        }
    }

    #[test]
    fn unknown_names_get_a_suggestion() {
        let error = build("tf_efficientnet_bo", 1000).unwrap_err();
        assert_eq!(
            error.hint().unwrap(),
            "did you mean `tf_efficientnet_b0` or `tf_efficientnet_b1` or `tf_efficientnet_b2`?"
        );
        assert_eq!(build("qqq", 10).unwrap_err().hint(), None);
    }
}
