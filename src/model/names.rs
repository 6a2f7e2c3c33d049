//! Tensor names of published files, made those of the network. Called by loading and by `zoo convert --arch`;
//! whoever calls says aloud what was renamed.

use super::Error;
use crate::arch;
use crate::checkpoint::{Checkpoint, rename};
use crate::nn::graph::{Graph, Weight};

/// That a file had other names than its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// Whose names they were.
    pub scheme: &'static str,
    /// How many tensors have another name now.
    pub tensors: usize,
    /// The names of tensors whose shape lost or got dimensions of one: a linear layer that is a convolution in
    /// timm.
    pub reshaped: Vec<String>,
    /// The names of tensors whose values are the magnitudes of the file's, plus a constant.
    pub magnitudes: Vec<String>,
    /// In what the network still is not the one the file was made for.
    pub caveat: Option<&'static str>,
}

impl std::fmt::Display for Renamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} names of {} are timm's now", self.tensors, self.scheme)?;
        if !self.reshaped.is_empty() {
            write!(f, "; dimensions of one added or removed: {}", self.reshaped.join(", "))?;
        }
        if let [first, ..] = self.magnitudes.as_slice() {
            let count = self.magnitudes.len();
            write!(
                f,
                "; weights of {count} in-place norms (`{first}` …) are their magnitudes now, as timm takes them"
            )?;
        }
        self.caveat.map_or(Ok(()), |caveat| write!(f, "; {caveat}"))
    }
}

/// torchvision's MobileNetV3 is timm's but for a constant.
const EPSILON: &str = "torchvision's batch norms have an epsilon of 0.001 and pad all round, so logits of this \
                       architecture may differ from torchvision's";

/// Gives the tensors the graph's names, where the file has those of another scheme: declared by the
/// spec, or known by the names themselves.
///
/// # Errors
/// A name that its scheme cannot place, two that would be one.
pub fn name_as(
    checkpoint: &mut Checkpoint,
    graph: &Graph,
    scheme: Option<&str>,
) -> Result<Option<Renamed>, Error> {
    let target = || graph.weights.iter().map(|w| w.name.as_str());
    let names: Vec<String> = checkpoint.tensors().iter().map(|t| t.name.clone()).collect();
    let names = || names.iter().map(String::as_str);
    let known: std::collections::HashSet<&str> = target().collect();
    if rename::is_efficientnet_pytorch(names()) {
        let pairs = rename::efficientnet_pytorch(names(), target())?;
        return renamed(checkpoint, graph, "efficientnet_pytorch", pairs).map(Some);
    }
    let older: Vec<_> = names()
        .filter(|name| !known.contains(name))
        .filter_map(|name| Some((name.to_owned(), arch::checkpoint_filter(&graph.name, name)?)))
        .collect();
    if !older.is_empty() {
        let pairs = older.iter().map(|(file, timm)| (file.clone(), timm.name.clone())).collect();
        let mut named = renamed(checkpoint, graph, "older files of this architecture", pairs)?;
        for (_, timm) in older {
            if let Some(order) = timm.permute {
                checkpoint.permute(&timm.name, order);
            }
            // A tensor of another shape is refused later, by name: nothing is read of it.
            let fits = |w: &&Weight| w.name == timm.name;
            let shape = graph.weights.iter().find(fits).map(|w| w.shape.as_slice());
            if let (Some(plus), Some(shape)) = (timm.magnitude_plus, shape)
                && checkpoint.take_magnitudes(&timm.name, shape, plus)?
            {
                named.magnitudes.push(timm.name);
            }
        }
        return Ok(Some(named));
    }
    if let Some(pairs) = rename::torchvision(target()) {
        let theirs: std::collections::HashMap<&str, &str> =
            pairs.iter().map(|(theirs, ours)| (theirs.as_str(), ours.as_str())).collect();
        let all = names().all(|name| theirs.contains_key(name));
        if scheme == Some("torchvision") || (all && names().next().is_some()) {
            let pairs = names().filter_map(|n| Some((n.to_owned(), (*theirs.get(n)?).to_owned()))).collect();
            let mut renamed = renamed(checkpoint, graph, "torchvision", pairs)?;
            renamed.caveat = known.contains("conv_head.bias").then_some(EPSILON);
            return Ok(Some(renamed));
        }
    }
    Ok(None)
}

fn renamed(
    checkpoint: &mut Checkpoint,
    graph: &Graph,
    scheme: &'static str,
    pairs: Vec<(String, String)>,
) -> Result<Renamed, Error> {
    checkpoint.rename(&pairs)?;
    let reshaped = graph.weights.iter().filter(|w| checkpoint.pad_shape(&w.name, &w.shape));
    let reshaped = reshaped.map(|w| w.name.clone()).collect::<Vec<_>>();
    let tensors = pairs.iter().filter(|(old, new)| old != new).count();
    Ok(Renamed { scheme, tensors, reshaped, magnitudes: Vec::new(), caveat: None })
}
