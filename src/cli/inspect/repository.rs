//! `zoo inspect hf:ORG/REPO`: the files of a repository, with what their names say of them.

use super::super::progress::bytes;
use super::super::{Context, Status};
use crate::error::Result;
use crate::render::safe;
use crate::store::{Repository, RepositoryFile};

/// Endings of names, and what such files are.
const FORMATS: [(&str, &str); 15] = [
    (".safetensors.index.json", "index of shards"),
    (".bin.index.json", "index of shards"),
    (".safetensors", "safetensors"),
    (".bin", "torch, a pickle"),
    (".pth", "torch, a pickle"),
    (".pth.tar", "torch, a pickle"),
    (".pt", "torch, a pickle"),
    (".ckpt", "torch, a pickle"),
    (".pkl", "a pickle"),
    (".npz", "numpy"),
    (".npy", "numpy"),
    (".onnx", "ONNX"),
    (".h5", "HDF5"),
    (".msgpack", "Flax"),
    (".gguf", "GGUF"),
];

fn format(file: &RepositoryFile) -> Option<&'static str> {
    FORMATS.iter().find(|(ending, _)| file.path.ends_with(ending)).map(|(_, format)| *format)
}

/// Prints the listing.
pub(super) fn print(repository: &Repository, json: bool, context: &mut Context) -> Result<Status> {
    let total: u64 = repository.files.iter().map(|f| f.bytes).sum();
    if json {
        let row = |file: &RepositoryFile| serde_json::json!({"path": file.path, "bytes": file.bytes, "sha256": file.sha256, "format": format(file)});
        let files: Vec<_> = repository.files.iter().map(row).collect();
        context.print_json(&serde_json::json!({
            "schema": "zoo.inspect.repository/1",
            "repository": repository.repo.repo,
            "revision": repository.repo.revision,
            "commit": repository.commit,
            "files": files,
            "bytes": total,
        }))?;
        return Ok(Status::Success);
    }
    let mut builder = tabled::builder::Builder::default();
    builder.push_record(["FILE", "SIZE", "SHA-256", "FORMAT"]);
    for file in &repository.files {
        let digest = file.sha256.map(|d| d.to_string()).unwrap_or_default();
        builder.push_record([
            safe::terminal(&file.path).into_owned(),
            bytes(file.bytes),
            digest.get(..12).unwrap_or_default().to_owned(),
            format(file).unwrap_or_default().to_owned(),
        ]);
    }
    let mut table = builder.build();
    table.with(tabled::settings::Style::blank());
    for line in table.to_string().lines() {
        context.println(line.trim_end())?;
    }
    context.println(format!(
        "\n{}: {} files, {}, at commit {}",
        safe::terminal(&repository.repo.to_string()),
        repository.files.len(),
        bytes(total),
        repository.commit
    ))?;
    if let Ok(checkpoint) = repository.checkpoint() {
        context.note(&format!("its tensors: `zoo inspect {}`", repository.source(checkpoint)));
    }
    Ok(Status::Success)
}
