//! What `zoo convert` does with names: the user's rules, an architecture's names and shapes, another scheme.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use super::Context;
use crate::arch::facts::DEFAULT_CLASSES;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::rename::{self, Rules};
use crate::error::{Class, Classify, Error, Result};
use crate::hash::Sha256;
use crate::model::{BoundWeights, Renamed, bind_weights};
use crate::nn::graph::Graph;
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
    /// Rename by the rules of a file first: lines of `REGEX => REPLACEMENT`, and `! REGEX` to drop names
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
    /// Names that the user's rules dropped.
    pub(super) dropped: Vec<String>,
}

/// The largest file of rules.
const MAX_RULES_BYTES: u64 = 1 << 20;

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
            let text = fs::read(path, MAX_RULES_BYTES)?;
            let text = String::from_utf8_lossy(&text);
            let rules = Rules::parse(path, &text)?;
            let applied = rules.apply(checkpoint.tensors().iter().map(|t| t.name.as_str()));
            checkpoint.remove(&applied.dropped.iter().map(String::as_str).collect());
            checkpoint.rename(&applied.pairs)?;
            context.note(&format!("note: {} tensors renamed by `{}`", applied.pairs.len(), path.display()));
            if !applied.dropped.is_empty() {
                context.note(&format!(
                    "note: {} tensors dropped by `{}`",
                    applied.dropped.len(),
                    path.display()
                ));
            }
            outcome.dropped = applied.dropped;
            for line in applied.idle {
                context.note(&format!("note: the rule in line {line} matches no name"));
            }
        }
        let Some(arch) = &self.arch else { return Ok((checkpoint, outcome)) };
        let graph = arch::build(arch, DEFAULT_CLASSES)?;
        let path = checkpoint.path().to_owned();
        if let Some(prefix) = prefix(arch, &graph, &checkpoint)? {
            let cut = |name: &str| Some((name.to_owned(), name.strip_prefix(&prefix)?.to_owned()));
            let pairs: Vec<_> = checkpoint.tensors().iter().filter_map(|t| cut(&t.name)).collect();
            checkpoint.rename(&pairs)?;
            context.note(&format!("note: `{prefix}` cut off every name: under it is all of `{arch}`"));
        }
        let build = |classes| Ok::<_, Error>(arch::build(arch, classes)?);
        let BoundWeights { graph, weights, ignored, renamed } =
            bind_weights(graph, checkpoint, &path, None, build)?;
        let mut checkpoint = weights.into_checkpoint();
        outcome.scheme = renamed.as_ref().map(|r| r.scheme);
        notes(arch, graph.classes, renamed.as_ref(), &ignored, context);
        if self.names == Scheme::Torchvision {
            let pairs = rename::torchvision(graph.weights.iter().map(|w| w.name.as_str()));
            match pairs {
                Some(pairs) => {
                    let back: Vec<_> = pairs.into_iter().map(|(theirs, ours)| (ours, theirs)).collect();
                    checkpoint.rename(&back)?;
                    linear(&mut checkpoint, "classifier.0.weight");
                }
                None if rename::is_named_as_in_torchvision(arch) => {
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

/// A file has every weight of a network under a prefix, and other tensors beside it: whether those may be dropped is
/// for the user to say.
#[derive(Debug, thiserror::Error)]
#[error("`{}` has every weight of `{arch}` under {found}, and other tensors beside them", path.display())]
struct Prefixed {
    path: PathBuf,
    arch: String,
    found: String,
    rules: String,
}

impl Classify for Prefixed {
    fn class(&self) -> Class {
        Class::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some(format!("keep the first of them by `--rename FILE` with these lines in FILE:\n{}", self.rules))
    }
}

/// The first parts of names that a hint lists.
const MAX_LISTED: usize = 12;

/// What a training framework put before every name (`model.`, by Lightning): the prefix under which all of a network's
/// weights are, where they are not there without one.
fn prefix(arch: &str, graph: &Graph, checkpoint: &Checkpoint) -> Result<Option<String>> {
    let names: HashSet<&str> = checkpoint.tensors().iter().map(|t| t.name.as_str()).collect();
    let all =
        |prefix: &str| graph.weights.iter().all(|w| names.contains(format!("{prefix}{}", w.name).as_str()));
    let Some(first) = graph.weights.first().filter(|_| !all("")) else { return Ok(None) };
    let tails = checkpoint.tensors().iter().filter_map(|t| t.name.strip_suffix(first.name.as_str()));
    let found: Vec<&str> = tails.filter(|head| head.ends_with('.') && all(head)).collect();
    let Some(&prefix) = found.first() else { return Ok(None) };
    let others = || names.iter().filter(|name| !name.starts_with(prefix));
    if others().next().is_none() {
        return Ok(Some(prefix.to_owned()));
    }
    // As many parts as tell them from what is kept.
    let depth = prefix.matches('.').count();
    let head = |name: &str| match name.match_indices('.').nth(depth.saturating_sub(1)) {
        Some((at, _)) => name.get(..=at).unwrap_or(name).to_owned(),
        None => name.to_owned(),
    };
    let heads: BTreeSet<String> = others().map(|name| head(name)).collect();
    let drop = heads.iter().take(MAX_LISTED).map(|head| match head.ends_with('.') {
        true => format!("! ^{}", regex::escape(head)),
        false => format!("! ^{}$", regex::escape(head)),
    });
    let rules: Vec<String> = drop.chain([format!("^{} =>", regex::escape(prefix))]).collect();
    Err(Prefixed {
        path: checkpoint.path().to_owned(),
        arch: arch.to_owned(),
        found: found.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(" and "),
        rules: rules.join("\n"),
    }
    .into())
}

/// A 1×1 convolution as the linear layer that torchvision has in its place.
fn linear(checkpoint: &mut Checkpoint, name: &str) {
    let shape = checkpoint.tensor(name).and_then(|t| t.shape.get(..2).map(<[usize]>::to_vec));
    if let Some(shape) = shape {
        checkpoint.pad_shape(name, &shape);
    }
}

fn notes(arch: &str, classes: usize, renamed: Option<&Renamed>, ignored: &[String], context: &Context) {
    let of = match classes {
        DEFAULT_CLASSES => format!("`{arch}`"),
        _ => format!("`{arch}` with a classifier of {classes} classes"),
    };
    match renamed {
        Some(renamed) => context.note(&format!("note: of {of}: {renamed}")),
        None => context.note(&format!("note: every name and shape is that of {of}")),
    }
    if !ignored.is_empty() {
        context.note(&format!("note: not of `{arch}`, and left out by timm: {}", ignored.join(", ")));
    }
}
