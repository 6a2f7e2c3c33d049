//! The new model on disk: weights under timm's names, the sidecar that says what they are of, an entry for a registry.
//!
//! In: a [`FineTuned`] model. Out: files, each whole or not there. Called by [`super::FineTuned::write`].

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::{Value, json};

use super::{Error, FineTuned, Result};
use crate::arch;
use crate::fs::{self, AtomicFile};
use crate::hash::Sha256;
use crate::model::{self, Labels, ModelSpec};
use crate::nn::graph::{Graph, Role};
use crate::nn::weights::Weights;
use crate::registry::format::{self, document};
use crate::registry::tree::to_yaml;

/// Where what goes.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// The `.safetensors`; its sidecar lies beside it and ends in `.json`.
    pub weights: &'a Path,
    /// A folder for a page with the model's entry, which `--registry` takes.
    pub register: Option<&'a Path>,
    /// Whether files that exist are replaced.
    pub overwrite: bool,
}

impl Outputs<'_> {
    /// The sidecar.
    pub fn sidecar(&self) -> PathBuf {
        self.weights.with_extension("json")
    }

    /// The page with the entry.
    pub fn entry(&self) -> Option<PathBuf> {
        let stem = self.weights.file_stem()?;
        let mut name = stem.to_owned();
        name.push(".yaml");
        Some(self.register?.join(name))
    }
}

/// Writes the files: weights first, so that a sidecar never stands alone.
pub(super) fn write(tuned: &FineTuned<'_>, outputs: &Outputs<'_>) -> Result<()> {
    let spec = tuned.model.spec();
    let graph = arch::build(&spec.arch, tuned.classes.len())
        .map_err(|e| model::Error::Architecture { name: spec.name.clone(), source: Box::new(e) })?;
    weights(tuned, &graph, outputs)?;
    let name = outputs.weights.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let new = ModelSpec {
        name: name.clone(),
        labels: Some(std::sync::Arc::new(Labels::named(tuned.classes.iter().cloned()))),
        ..spec.clone()
    };
    let summary = tuned.summary();
    let text = serde_json::to_string_pretty(&new.to_sidecar(Some(&summary))).unwrap_or_default();
    commit(&outputs.sidecar(), format!("{text}\n").as_bytes(), outputs.overwrite)?;
    if let (Some(folder), Some(path)) = (outputs.register, outputs.entry()) {
        fs::create_dir_all(folder)?;
        let (sha256, bytes) = fs::sha256(outputs.weights)?;
        let entry = registry_entry(&new, &graph, outputs.weights, (sha256, bytes), Some(&summary));
        let index = format::page("entry.json", entry.to_string().as_bytes());
        commit(&path, to_yaml(&document(&index)).as_bytes(), outputs.overwrite)?;
    }
    Ok(())
}

fn commit(path: &Path, bytes: &[u8], overwrite: bool) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.file().write_all(bytes).map_err(fs::at("write", path))?;
    Ok(file.commit(overwrite)?)
}

/// Every tensor of the network under its name, with the new classifier's in place of the old ones.
fn weights(tuned: &FineTuned<'_>, graph: &Graph, outputs: &Outputs<'_>) -> Result<()> {
    let old = tuned.model.weights();
    // Integers first: every tensor is then aligned.
    let counts = |weight: &&crate::nn::graph::Weight| weight.role == Role::BatchesTracked;
    let kept = |weight: &&crate::nn::graph::Weight| {
        !counts(weight) || old.checkpoint().tensor(&weight.name).is_some()
    };
    let mut order: Vec<_> = graph.weights.iter().filter(kept).collect();
    order.sort_by_key(|weight| (!counts(weight), weight.name.as_str()));
    let (mut at, mut infos) = (0, Vec::with_capacity(order.len()));
    for weight in &order {
        let (dtype, bytes) = if counts(weight) { (Dtype::I64, 8) } else { (Dtype::F32, 4) };
        let end = at + bytes * weight.shape.iter().product::<usize>();
        infos.push((
            weight.name.clone(),
            TensorInfo { dtype, shape: weight.shape.clone(), data_offsets: (at, end) },
        ));
        at = end;
    }
    let path = outputs.weights;
    let refuse = |reason: String| Error::Write { path: path.to_owned(), reason };
    let format = Some([("format".to_owned(), "pt".to_owned())].into());
    let header = Metadata::new(format, infos).map_err(|e| refuse(e.to_string()))?;
    let mut header = serde_json::to_vec(&header).map_err(|e| refuse(e.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = AtomicFile::create(path)?;
    let mut to = std::io::BufWriter::new(file.file());
    let mut put = |bytes: &[u8]| to.write_all(bytes).map_err(fs::at("write", path));
    put(&(header.len() as u64).to_le_bytes())?;
    put(&header)?;
    for weight in &order {
        let unreadable = || Error::Tensor { tensor: weight.name.clone() };
        let mut floats = |values: &[f32]| -> Result<()> {
            for chunk in values.chunks(1 << 14) {
                put(&chunk.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
            }
            Ok(())
        };
        if let Some(values) = tuned.tensors.get(&weight.name) {
            floats(values)?;
        } else if counts(weight) {
            let tensor = old.checkpoint().tensor(&weight.name).ok_or_else(unreadable)?;
            let bytes = old.checkpoint().bytes(tensor).map_err(|_| unreadable())?;
            let count = bytes.get(..8).ok_or_else(unreadable)?;
            put(count)?;
        } else {
            let view = old.get(&weight.name).ok_or_else(unreadable)?;
            if view.values.len() as u64 != weight.elements() {
                return Err(unreadable());
            }
            floats(&view.values)?;
        }
    }
    to.flush().map_err(fs::at("write", path))?;
    drop(to);
    Ok(file.commit(outputs.overwrite)?)
}

/// An entry in model-index form for a weights file of its own, with what its sidecar says of its training.
pub fn registry_entry(
    spec: &ModelSpec,
    graph: &Graph,
    weights: &Path,
    (sha256, bytes): (Sha256, u64),
    summary: Option<&Value>,
) -> Value {
    let path = std::path::absolute(weights).unwrap_or_else(|_| weights.to_owned());
    let sidecar = spec.to_sidecar(None);
    let preprocess = |key: &str| sidecar.pointer(&format!("/preprocess/{key}")).cloned().unwrap_or_default();
    let size = &spec.preprocess.size;
    let size = if size.height == size.width {
        size.height.to_string()
    } else {
        format!("{}x{}", size.height, size.width)
    };
    let mut entry = json!({
        "Name": spec.name,
        "Metadata": {
            "Parameters": graph.params(),
            "File Size": bytes,
            "Tasks": ["Image Classification"],
            "Image Size": size,
            "Crop Pct": preprocess("crop_pct").to_string(),
            "Interpolation": preprocess("interpolation"),
        },
        "Weights": format!("file:{}", path.display()),
        "zoo": {
            "arch": spec.arch,
            "sha256": sha256.to_string(),
            "size": bytes,
            "mean": preprocess("mean"),
            "std": preprocess("std"),
            "crop_mode": preprocess("crop_mode"),
            "classifier": graph.classifier,
            "first_conv": graph.first_conv,
            "params": graph.params(),
            "names": "timm",
            "classes": sidecar.get("classes"),
        },
    });
    let number = |pointer: &str| summary.and_then(|s| s.pointer(pointer)).and_then(Value::as_f64);
    let metrics: BTreeMap<&str, String> = [("Top 1 Accuracy", "/val/top1"), ("Top 5 Accuracy", "/val/top5")]
        .into_iter()
        .filter_map(|(name, pointer)| Some((name, format!("{}%", number(pointer)?))))
        .collect();
    if let Some(object) = entry.as_object_mut().filter(|_| !metrics.is_empty()) {
        let result =
            json!([{"Task": "Image Classification", "Dataset": "held-out images", "Metrics": metrics}]);
        object.insert("Results".into(), result);
    }
    json!({"Models": [entry]})
}
