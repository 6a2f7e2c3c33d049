//! `zoo inspect F`: what is inside a checkpoint, as a table or JSON.

use std::path::PathBuf;

use super::convert::Reading;
use super::{Context, Status};
use crate::checkpoint::{Checkpoint, Tensor, tensors_sha256};
use crate::error::Result;
use crate::render::safe;

/// Arguments of `zoo inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A checkpoint
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Hash every tensor's bytes
    #[arg(long)]
    sha256: bool,
    #[command(flatten)]
    reading: Reading,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Inspects.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let checkpoint = Checkpoint::open_with(&args.file, &args.reading.options())?;
    let tensors = checkpoint.tensors();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let digests = if args.sha256 { Some(checkpoint.tensor_digests(threads)?) } else { None };
    let all = digests.as_ref().map(|d| tensors_sha256(tensors.iter().zip(d.iter().copied())));
    let parameters: usize = tensors.iter().map(Tensor::elements).sum();
    let bytes: usize = tensors.iter().map(Tensor::nbytes).sum();
    if args.json {
        let rows: Vec<_> = tensors
            .iter()
            .enumerate()
            .map(|(i, t)| {
                serde_json::json!({
                    "name": t.name,
                    "dtype": t.dtype.to_string(),
                    "shape": t.shape,
                    "bytes": t.nbytes(),
                    "sha256": digests.as_ref().and_then(|d| d.get(i)),
                })
            })
            .collect();
        let details = checkpoint.details();
        let pairs = |pairs: &[(String, String)]| -> Vec<serde_json::Value> {
            pairs.iter().map(|(name, value)| serde_json::json!({"name": name, "value": value})).collect()
        };
        let value = serde_json::json!({
            "schema": "zoo.inspect/1",
            "file": args.file.display().to_string(),
            "format": checkpoint.format().name(),
            "tensors": rows,
            "tensors_sha256": all,
            "elements": parameters,
            "bytes": bytes,
            "metadata": details.metadata,
            "unwrapped": details.unwrapped,
            "stripped": details.stripped,
            "refused": pairs(&details.refused),
            "left_out": pairs(&details.left_out),
            "opaque": details.opaque,
        });
        context.println(format!("{value:#}"))?;
        return Ok(Status::Success);
    }
    let mut builder = tabled::builder::Builder::default();
    let mut head = vec!["name", "dtype", "shape", "bytes"];
    if digests.is_some() {
        head.push("sha256");
    }
    builder.push_record(head);
    for (i, tensor) in tensors.iter().enumerate() {
        let mut row = vec![
            safe::terminal(&tensor.name).into_owned(),
            tensor.dtype.to_string(),
            format!("{:?}", tensor.shape),
            tensor.nbytes().to_string(),
        ];
        if let Some(digest) = digests.as_ref().and_then(|d| d.get(i)) {
            row.push(digest.to_string());
        }
        builder.push_record(row);
    }
    let mut table = builder.build();
    table.with(tabled::settings::Style::blank());
    context.println(table.to_string())?;
    context.println(format!(
        "\n{}: {} tensors, {parameters} elements, {bytes} bytes",
        checkpoint.format(),
        tensors.len()
    ))?;
    if let Some(all) = all {
        context.println(format!("tensors_sha256 {all}"))?;
    }
    super::convert::notes(&checkpoint, context);
    Ok(Status::Success)
}
