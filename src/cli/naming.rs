//! What `zoo convert` does with names: the user's rules, an architecture's names and shapes, another scheme.

use std::path::PathBuf;

use super::Context;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::rename::{self, Rules};
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::model::{CLASSES, Fit, Renamed, fit};
use crate::{arch, fs};

/// Names of the tensors that are written.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Naming {
    /// Write timm's names of this architecture, once every name and shape has been checked against it
    #[arg(long, value_name = "NAME")]
    pub(super) arch: Option<String>,
    /// Whose names to write
    #[arg(long, value_enum, value_name = "SCHEME", requires = "arch", default_value_t = Scheme::Timm)]
    names: Scheme,
    /// Rename by the rules of a file first: lines of `REGEX => REPLACEMENT`
    #[arg(long, value_name = "FILE")]
    rename: Option<PathBuf>,
}

/// A naming scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scheme {
    /// timm's
    Timm,
    /// torchvision's
    Torchvision,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Digest of the tensors under the file's own names, where hashes are wanted and names changed.
    pub(super) source_sha256: Option<Sha256>,
    /// Whose names the file had.
    pub(super) scheme: Option<&'static str>,
}

/// The largest file of rules.
const RULES: u64 = 1 << 20;

impl Naming {
    /// Renames and checks an open checkpoint, and says what it did.
    ///
    /// # Errors
    /// Rules that are none, an unknown architecture, tensors that do not fit it.
    pub(super) fn apply(
        &self,
        mut checkpoint: Checkpoint,
        hashes: bool,
        context: &Context,
    ) -> Result<(Checkpoint, Outcome)> {
        let mut outcome = Outcome::default();
        if self.arch.is_none() && self.rename.is_none() {
            return Ok((checkpoint, outcome));
        }
        if hashes {
            outcome.source_sha256 = Some(checkpoint.tensors_sha256()?);
        }
        if let Some(path) = &self.rename {
            let text = fs::read(path, RULES)?;
            let text = String::from_utf8_lossy(&text);
            let rules = Rules::parse(path, &text)?;
            let applied = rules.apply(checkpoint.tensors().iter().map(|t| t.name.as_str()));
            checkpoint.rename(&applied.pairs)?;
            context.note(&format!("note: {} tensors renamed by `{}`", applied.pairs.len(), path.display()));
            for line in applied.idle {
                context.note(&format!("note: the rule in line {line} matches no name"));
            }
        }
        let Some(arch) = &self.arch else { return Ok((checkpoint, outcome)) };
        let graph = arch::build(arch, CLASSES)?;
        let path = checkpoint.path().to_owned();
        let build = |classes| Ok::<_, Error>(arch::build(arch, classes)?);
        let Fit { graph, weights, ignored, renamed } = fit(graph, checkpoint, &path, None, build)?;
        let mut checkpoint = weights.into_checkpoint();
        outcome.scheme = renamed.as_ref().map(|r| r.scheme);
        notes(arch, renamed.as_ref(), &ignored, context);
        if self.names == Scheme::Torchvision {
            let pairs = rename::torchvision(graph.weights.iter().map(|w| w.name.as_str()));
            match pairs {
                Some(pairs) => {
                    let back: Vec<_> = pairs.into_iter().map(|(theirs, ours)| (ours, theirs)).collect();
                    checkpoint.rename(&back)?;
                    linear(&mut checkpoint, "classifier.0.weight");
                }
                None if is_the_same(arch) => {
                    context.note("note: torchvision has the same names for this architecture");
                }
                None => {
                    return Err(Error::usage(format!("torchvision's names of `{arch}` are not known")));
                }
            }
        }
        Ok((checkpoint, outcome))
    }
}

/// A 1×1 convolution as the linear layer that torchvision has in its place.
fn linear(checkpoint: &mut Checkpoint, name: &str) {
    let shape = checkpoint.tensor(name).and_then(|t| t.shape.get(..2).map(<[usize]>::to_vec));
    if let Some(shape) = shape {
        checkpoint.pad_shape(name, &shape);
    }
}

/// The architectures that timm took from torchvision with their names.
fn is_the_same(arch: &str) -> bool {
    const SAME: &[&str] = &[
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "wide_resnet50_2",
        "wide_resnet101_2",
        "densenet121",
        "densenet161",
        "densenet169",
        "densenet201",
    ];
    SAME.contains(&arch)
}

fn notes(arch: &str, renamed: Option<&Renamed>, ignored: &[String], context: &Context) {
    match renamed {
        Some(renamed) => context.note(&format!("note: of `{arch}`: {renamed}")),
        None => context.note(&format!("note: every name and shape is that of `{arch}`")),
    }
    if !ignored.is_empty() {
        context.note(&format!("note: not of `{arch}`, and left out by timm: {}", ignored.join(", ")));
    }
}
