//! `zoo convert IN [OUT]`: a checkpoint as safetensors, byte for byte what the reference writer would make of
//! it; narrower, without tied twins or in shards where asked; or as a zip `.pth`.

use std::path::{Path, PathBuf};

use super::existing::refuse_existing;
use super::naming::{Naming, Outcome};
use super::{Context, Status};
use crate::checkpoint::write::{Narrow, Output, Written};
use crate::checkpoint::{Checkpoint, Details, Format, Options, write};
use crate::error::{Error, Result};
use crate::fs::AtomicFile;

/// Arguments of `zoo convert`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A checkpoint: .pth (zip, legacy or tar), torch.jit, pickle, .npz, .npy, .safetensors or its index.json
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Where to write; by default IN with the extension .safetensors. A .pth, .pt or .bin is written as torch does
    #[arg(value_name = "OUT", conflicts_with = "output")]
    to: Option<PathBuf>,
    /// The same as OUT
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Replace OUT if it exists
    #[arg(long)]
    force: bool,
    /// Do not wait for the output to reach the disk
    #[arg(long)]
    no_sync: bool,
    /// Also compute the SHA-256 of the output and of its tensors
    #[arg(long)]
    sha256: bool,
    /// Write floating tensors in half the bytes, rounded to nearest even
    #[arg(long, value_enum, value_name = "TYPE")]
    dtype: Option<Type>,
    /// Write tied tensors once, as safetensors' `save_model` does
    #[arg(long)]
    dedupe: bool,
    /// Split the output into files of at most this many bytes of tensors, with an index: `2GB`, `500MB`
    #[arg(long, value_name = "SIZE", value_parser = size)]
    shard: Option<u64>,
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    reading: Reading,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// A 16-bit floating type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Type {
    /// IEEE half precision
    F16,
    /// bfloat16
    Bf16,
}

/// `2GB`, `500MB`, `1GiB`, or a number of bytes.
fn size(text: &str) -> std::result::Result<u64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
    ];
    let unit = UNITS.iter().find(|(name, _)| text.to_ascii_lowercase().ends_with(&name.to_ascii_lowercase()));
    let (digits, unit) = match unit {
        Some((name, unit)) => (text.get(..text.len() - name.len()).unwrap_or(""), *unit),
        None => (text, 1),
    };
    let bytes = digits.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    bytes
        .filter(|&n| n > 0)
        .ok_or_else(|| "a size is a whole number and B, kB, MB, GB, KiB, MiB or GiB".into())
}

/// How to read a checkpoint: the same options for every verb that opens one.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Reading {
    /// Which part of the file to take, as `model.backbone`, `0` of a list, or `.` for its top level; final
    /// (without it the weights are found, or the candidates named)
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

/// The input's name with another extension; of an index that of its shards.
fn beside(input: &Path) -> PathBuf {
    let name = input.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
    match name.strip_suffix(".index.json") {
        Some(shards) => input.with_file_name(shards).with_extension("safetensors"),
        None => input.with_extension("safetensors"),
    }
}

/// What to write it as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Safetensors,
    Sharded(u64),
    Pth,
}

impl Form {
    fn of(args: &Args, output: &Path) -> Result<Self> {
        let torch = output.extension().is_some_and(|e| e == "pth" || e == "pt" || e == "bin");
        let safetensors_only = args.dtype.is_some() || args.dedupe || args.shard.is_some() || args.sha256;
        match (torch, args.shard) {
            (true, _) if safetensors_only => Err(Error::usage(format!(
                "`--dtype`, `--dedupe`, `--shard` and `--sha256` are for safetensors, and `{}` is not",
                output.display()
            ))),
            (true, _) => Ok(Form::Pth),
            (false, Some(limit)) => Ok(Form::Sharded(limit)),
            (false, None) => Ok(Form::Safetensors),
        }
    }
}

/// Converts.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let given = args.to.clone().or_else(|| args.output.clone());
    let output = given.unwrap_or_else(|| beside(&args.input));
    let form = Form::of(args, &output)?;
    if same_file(&args.input, &output) {
        return Err(Error::usage(format!(
            "`{}` would be written over itself: name another with -o",
            output.display()
        )));
    }
    refuse_existing(&output, args.force)?;
    let checkpoint = Checkpoint::open_with(&args.input, &args.reading.options())?;
    let (checkpoint, outcome) = args.naming.apply(checkpoint, args.sha256, context)?;
    let mut options =
        write::Options { sha256: args.sha256, tensors_sha256: args.sha256, ..write::Options::default() };
    options.narrow = args.dtype.map(|t| match t {
        Type::F16 => Narrow::F16,
        Type::Bf16 => Narrow::BF16,
    });
    options.dedupe = args.dedupe;
    if args.dedupe {
        // As `save_model` writes it: nothing but the names left out.
        options.metadata.clear();
    }
    let files = write_as(args, form, &checkpoint, &output, &options)?;
    if let (true, Format::Npy | Format::Npz | Format::Safetensors | Format::ShardedSafetensors) =
        (args.reading.key.is_some(), checkpoint.format())
    {
        context.note(&format!(
            "note: `--key` means nothing for {}: it has names and no keys",
            checkpoint.format()
        ));
    }
    if let Some((number, count)) = shard_of(&args.input) {
        context.note(&format!(
            "note: by its name this is file {number} of {count}: the index beside it has them all"
        ));
    }
    notes(&checkpoint, context);
    if !args.dedupe {
        tied(&checkpoint, context);
    }
    for (_, written) in &files {
        written_notes(written, context);
    }
    match args.json {
        true => json(args, &checkpoint, &files, &outcome, context)?,
        false => {
            for (path, _) in &files {
                context.println(path.display().to_string())?;
            }
        }
    }
    Ok(Status::Success)
}

fn write_as(
    args: &Args,
    form: Form,
    checkpoint: &Checkpoint,
    output: &Path,
    options: &write::Options,
) -> Result<Vec<(PathBuf, Written)>> {
    if let Form::Sharded(limit) = form {
        let sharded = write::shards(checkpoint, output, limit, args.force, options)?;
        let index = (sharded.index, Written::default());
        return Ok(std::iter::once(index).chain(sharded.shards).collect());
    }
    let mut file = AtomicFile::create(output)?;
    let written = match form {
        Form::Pth => {
            write::pth(checkpoint, output, file.file())?;
            let bytes = file.file().metadata().map_err(crate::fs::at("look at", output))?.len();
            Written { bytes, ..Written::default() }
        }
        _ => write::safetensors(checkpoint, output, Output::File(file.file()), options)?,
    };
    match args.no_sync {
        true => file.commit_unsynced(args.force)?,
        false => file.commit(args.force)?,
    }
    Ok(vec![(output.to_owned(), written)])
}

fn json(
    args: &Args,
    checkpoint: &Checkpoint,
    files: &[(PathBuf, Written)],
    outcome: &Outcome,
    context: &mut Context,
) -> Result<()> {
    let Some((output, first)) = files.first() else { return Ok(()) };
    let overflowed: Vec<_> = files.iter().flat_map(|(_, w)| &w.overflowed).collect();
    let removed: Vec<_> = files.iter().flat_map(|(_, w)| &w.removed).collect();
    let details = checkpoint.details();
    let value = serde_json::json!({
        "schema": "zoo.convert/1",
        "input": args.input.display().to_string(),
        "output": output.display().to_string(),
        "files": files.iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>(),
        "format": checkpoint.format().name(),
        "tensors": checkpoint.tensors().len(),
        "bytes": files.iter().map(|(_, w)| w.bytes).sum::<u64>(),
        "sha256": first.sha256,
        "tensors_sha256": first.tensors_sha256,
        "source_tensors_sha256": outcome.source_sha256,
        "names": outcome.scheme,
        "unwrapped": details.unwrapped,
        "averaged_before": details.averaged_before,
        "stripped": details.stripped,
        "left_out_tensors": details.left_out_tensors.iter().map(|(name, n)| serde_json::json!({"name": name, "tensors": n})).collect::<Vec<_>>(),
        "refused": names(&details.refused),
        "left_out": names(&details.left_out),
        "opaque": details.opaque,
        "dropped": outcome.dropped,
        "removed": removed.iter().map(|(name, kept)| serde_json::json!({"name": name, "kept": kept})).collect::<Vec<_>>(),
        "overflowed": overflowed.iter().map(|(name, n)| serde_json::json!({"name": name, "values": n})).collect::<Vec<_>>(),
    });
    context.println(format!("{value:#}"))
}

/// Says what the writer did beyond copying.
fn written_notes(written: &Written, context: &Context) {
    for (name, kept) in &written.removed {
        context.note(&format!("note: `{name}` left out: `{kept}` is the same storage"));
    }
    for (name, values) in &written.overflowed {
        context.note(&format!("note: {values} values of `{name}` became infinite"));
    }
    if let Some(sha256) = written.sha256 {
        context.note(&format!("sha256 {sha256}"));
    }
    if let Some(digest) = written.tensors_sha256 {
        context.note(&format!("tensors_sha256 {digest}"));
    }
}

fn names(pairs: &[(String, String)]) -> Vec<&str> {
    pairs.iter().map(|(name, _)| name.as_str()).collect()
}

/// Says on stderr what was not simply copied.
pub(super) fn notes(checkpoint: &Checkpoint, context: &Context) {
    let Details { unwrapped, averaged_before, stripped, refused, left_out, left_out_tensors, opaque, .. } =
        checkpoint.details();
    let count = |n: u64| if n == 1 { "1 tensor".to_owned() } else { format!("{n} tensors") };
    if !unwrapped.is_empty() {
        let all = count(checkpoint.tensors().len() as u64);
        let why = match averaged_before {
            Some(other) => {
                format!(": averaged weights come first, as in timm; `--key {other}` takes the others")
            }
            None => String::new(),
        };
        context.note(&format!("note: {all} taken from `{}`{why}", unwrapped.join(".")));
    }
    if let Some(prefix) = stripped {
        context.note(&format!("note: `{prefix}` cut out of the names"));
    }
    if !left_out_tensors.is_empty() {
        const MAX_SHOWN: usize = 8;
        let shown =
            left_out_tensors.iter().take(MAX_SHOWN).map(|(key, n)| format!("`{key}` ({})", count(*n)));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let rest = left_out_tensors.get(MAX_SHOWN..).unwrap_or_default();
        let more = match rest.len() {
            0 => String::new(),
            n => format!(" and {n} more ({})", count(rest.iter().map(|(_, n)| n).sum())),
        };
        context.note(&format!("note: left out, though tensors are in it: {shown}{more}; `--key` takes it"));
    }
    let list = |pairs: &[(String, String)]| {
        const MAX_SHOWN: usize = 8;
        let shown: Vec<_> =
            pairs.iter().take(MAX_SHOWN).map(|(name, what)| format!("`{name}` ({what})")).collect();
        let more = if pairs.len() > MAX_SHOWN {
            format!(" and {} more", pairs.len() - MAX_SHOWN)
        } else {
            String::new()
        };
        format!("{}{more}", shown.join(", "))
    };
    if !left_out.is_empty() {
        context.note(&format!("note: left out because they hold no tensors: {}", list(left_out)));
    }
    if !refused.is_empty() {
        context.note(&format!("note: left out, having no dense form: {}", list(refused)));
    }
    if !opaque.is_empty() {
        context.note(&format!("note: dropped what unknown code would have built: {}", opaque.join(", ")));
    }
}

/// Says which tensors share storages and are written once each.
fn tied(checkpoint: &Checkpoint, context: &Context) {
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

/// `NAME-00001-of-00003.bin` → 1 of 3.
fn shard_of(path: &Path) -> Option<(u32, u32)> {
    let (rest, count) = path.file_stem()?.to_str()?.rsplit_once("-of-")?;
    let (_, number) = rest.rsplit_once('-')?;
    let whole = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    Some((whole(number)?, whole(count)?)).filter(|&(number, count)| number <= count && count > 1)
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}
