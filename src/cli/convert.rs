//! `zoo convert IN`: a checkpoint as safetensors, byte for byte what the reference writer would make of it.

use std::path::{Path, PathBuf};

use super::{Context, Status};
use crate::checkpoint::{Checkpoint, Details, Error as CheckpointError, Options, write};
use crate::error::{Error, Result};
use crate::fs::AtomicFile;

/// Arguments of `zoo convert`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A checkpoint: .pth (zip, legacy or tar), torch.jit, pickle, .npz, .npy, .safetensors or its index.json
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Where to write; by default IN with the extension .safetensors
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Replace OUT if it exists
    #[arg(long)]
    force: bool,
    /// Compute the output's SHA-256 and the tensors' on the way
    #[arg(long)]
    sha256: bool,
    #[command(flatten)]
    reading: Reading,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// How to read a checkpoint: the same options for every verb that opens one.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Reading {
    /// Which part of a training checkpoint to take, as `model.backbone`; the usual ones are found
    #[arg(long, value_name = "KEY")]
    pub(super) key: Option<String>,
    /// Keep the tensors of a file that also names unknown code; what that code would build is dropped
    #[arg(long)]
    pub(super) allow_opaque: bool,
    /// Read the file piece by piece instead of mapping it
    #[arg(long)]
    pub(super) no_mmap: bool,
}

impl Reading {
    pub(super) fn options(&self) -> Options {
        Options { key: self.key.clone(), allow_opaque: self.allow_opaque, mmap: !self.no_mmap }
    }
}

/// Converts.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let output = args.output.clone().unwrap_or_else(|| args.input.with_extension("safetensors"));
    if same_file(&args.input, &output) {
        return Err(Error::usage(format!(
            "`{}` would be written over itself: name another with -o",
            output.display()
        )));
    }
    if !args.force && crate::fs::metadata(&output).is_ok() {
        return Err(Error::usage(format!("`{}` exists: use --force to replace it", output.display())));
    }
    let checkpoint = Checkpoint::open_with(&args.input, &args.reading.options())?;
    let mut file = AtomicFile::create(&output)?;
    let options =
        write::Options { sha256: args.sha256, tensors_sha256: args.sha256, ..write::Options::default() };
    let written = write::safetensors(&checkpoint, &output, file.file(), &options)?;
    file.commit(args.force).map_err(CheckpointError::File)?;
    notes(&checkpoint, context);
    if args.json {
        let value = serde_json::json!({
            "schema": "zoo.convert/1",
            "input": args.input.display().to_string(),
            "output": output.display().to_string(),
            "format": checkpoint.format().name(),
            "tensors": checkpoint.tensors().len(),
            "bytes": written.bytes,
            "sha256": written.sha256,
            "tensors_sha256": written.tensors_sha256,
            "unwrapped": checkpoint.details().unwrapped,
            "stripped": checkpoint.details().stripped,
            "refused": names(&checkpoint.details().refused),
            "left_out": names(&checkpoint.details().left_out),
            "opaque": checkpoint.details().opaque,
        });
        context.println(format!("{value:#}"))?;
    } else {
        context.println(output.display().to_string())?;
    }
    Ok(Status::Success)
}

fn names(pairs: &[(String, String)]) -> Vec<&str> {
    pairs.iter().map(|(name, _)| name.as_str()).collect()
}

/// Says on stderr what was not simply copied.
pub(super) fn notes(checkpoint: &Checkpoint, context: &Context) {
    let Details { unwrapped, stripped, refused, left_out, opaque, .. } = checkpoint.details();
    if !unwrapped.is_empty() {
        context.note(&format!("note: tensors taken from `{}`", unwrapped.join(".")));
    }
    if let Some(prefix) = stripped {
        context.note(&format!("note: `{prefix}` cut off from every name"));
    }
    let list = |pairs: &[(String, String)]| {
        const SHOWN: usize = 8;
        let shown: Vec<_> =
            pairs.iter().take(SHOWN).map(|(name, what)| format!("`{name}` ({what})")).collect();
        let more =
            if pairs.len() > SHOWN { format!(" and {} more", pairs.len() - SHOWN) } else { String::new() };
        format!("{}{more}", shown.join(", "))
    };
    if !left_out.is_empty() {
        context.note(&format!("note: left out, being no tensors: {}", list(left_out)));
    }
    if !refused.is_empty() {
        context.note(&format!("note: left out, having no dense form: {}", list(refused)));
    }
    if !opaque.is_empty() {
        context.note(&format!("note: dropped what unknown code would have built: {}", opaque.join(", ")));
    }
    let mut users = std::collections::HashMap::new();
    for tensor in checkpoint.tensors() {
        users.entry(tensor.storage).or_insert_with(Vec::new).push(tensor.name.as_str());
    }
    let mut tied: Vec<_> = users.into_values().filter(|names| names.len() > 1).collect();
    tied.sort();
    for names in tied.iter().take(8) {
        context
            .note(&format!("note: written once each, though they share one storage: {}", names.join(", ")));
    }
    if tied.len() > 8 {
        context.note(&format!("note: {} more groups share storages", tied.len() - 8));
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}
