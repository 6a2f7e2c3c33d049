//! What Hugging Face's metadata say of a dataset's columns: which hold images, and what the numbers of a ClassLabel stand
//! for. They are in a parquet file's schema (key `huggingface`), in `dataset_info.json` and `dataset_infos.json`, and in
//! the front matter of a dataset card (`dataset_info` in `README.md`).
//!
//! In: those texts. Out: [`Features`]. Called by the layouts whose labels may be numbers: parquet, tables, WebDataset.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::dataset::error::{Error, Result};
use crate::dataset::label::NameList;
use crate::registry::format::markdown::front_matter;
use crate::registry::tree::{self, Limits, Node, Origin};

/// The largest of these files that is read; a thousand names take 40 KB.
const MAX_FILE: u64 = 16 << 20;

/// Structs within structs that are looked into.
const MAX_DEPTH: usize = 8;

/// A dataset's columns, by their path (`label`, `json.label`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    columns: BTreeMap<String, Feature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Feature {
    Image,
    /// What 0, 1 … stand for.
    ClassLabel(Arc<NameList>),
}

impl Features {
    /// The columns whose values are images.
    pub(super) fn images(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter(|(_, f)| **f == Feature::Image).map(|(name, _)| name.as_str())
    }

    /// The columns whose numbers have names.
    pub(super) fn class_labels(&self) -> impl Iterator<Item = &str> {
        self.columns
            .iter()
            .filter(|(_, f)| matches!(f, Feature::ClassLabel(_)))
            .map(|(name, _)| name.as_str())
    }

    /// What a column's numbers stand for.
    pub(super) fn names(&self, column: &str) -> Option<&Arc<NameList>> {
        match self.columns.get(column)? {
            Feature::ClassLabel(names) => Some(names),
            Feature::Image => None,
        }
    }

    /// What the one column of labels stands for: of several, the first that is called as such columns are.
    pub(super) fn label_names(&self, known: &[&str]) -> Option<&Arc<NameList>> {
        let mut all = self.class_labels();
        let by_name = known.iter().find_map(|name| self.names(name));
        by_name.or_else(|| match (all.next(), all.next()) {
            (Some(only), None) => self.names(only),
            _ => None,
        })
    }

    /// Reads a parquet schema's `huggingface` value.
    ///
    /// # Errors
    /// [`Error::BadLabels`] where it is not JSON.
    pub(super) fn of_schema(text: &str, path: &Path) -> Result<Self> {
        let json = parse(text, path, "the schema's `huggingface` value")?;
        let mut features = Features::default();
        if let Some(found) = json.pointer("/info/features").or_else(|| json.get("features")) {
            features.add_json(found, "", path, 0);
        }
        Ok(features)
    }

    /// Looks for a description beside the data: in their folder, and in those above it up to `top`.
    ///
    /// # Errors
    /// A JSON file that cannot be read. A card is only looked at where it has front matter that can be.
    pub(super) fn near(folder: &Path, top: &Path) -> Result<Self> {
        for folder in folder.ancestors() {
            for name in ["dataset_info.json", "dataset_infos.json"] {
                let path = folder.join(name);
                if path.is_file() {
                    let bytes = crate::fs::read(&path, MAX_FILE)?;
                    let features = Features::of_infos(&String::from_utf8_lossy(&bytes), &path)?;
                    if !features.columns.is_empty() {
                        return Ok(features);
                    }
                }
            }
            let card = folder.join("README.md");
            if card.is_file()
                && let Some(features) = Features::of_card(&crate::fs::read(&card, MAX_FILE)?, &card)
            {
                return Ok(features);
            }
            if folder == top {
                break;
            }
        }
        Ok(Features::default())
    }

    /// `dataset_info.json` is of one configuration, `dataset_infos.json` of several by name.
    fn of_infos(text: &str, path: &Path) -> Result<Self> {
        let json = parse(text.trim_start_matches('\u{feff}'), path, "a description of the dataset")?;
        let mut features = Features::default();
        if let Some(one) = json.get("features") {
            features.add_json(one, "", path, 0);
            return Ok(features);
        }
        let several = json.as_object().into_iter().flatten().filter_map(|(_, info)| info.get("features"));
        let of = |found: &Json| {
            let mut features = Features::default();
            features.add_json(found, "", path, 0);
            features
        };
        Ok(agreed(several.map(of)))
    }

    /// The front matter's `dataset_info`: one configuration, or a list of them.
    fn of_card(bytes: &[u8], path: &Path) -> Option<Self> {
        let (text, file) = (String::from_utf8_lossy(bytes), Arc::from(path.display().to_string()));
        let block = front_matter(&text, &file)?;
        let (documents, _) =
            tree::yaml(block.text.as_bytes(), Origin::file(&file), &Limits::default()).ok()?;
        let info = documents.first()?.get("dataset_info")?;
        let of = |config: &Node| {
            let mut features = Features::default();
            features.add_yaml(config.get("features")?, "", path, 0);
            Some(features)
        };
        let features = agreed(info.one_or_many().iter().filter_map(of));
        (!features.columns.is_empty()).then_some(features)
    }

    /// `{"label": {"_type": "ClassLabel", "names": […]}, "image": {"_type": "Image"}, …}`.
    fn add_json(&mut self, features: &Json, above: &str, path: &Path, depth: usize) {
        let Some(map) = features.as_object().filter(|_| depth <= MAX_DEPTH) else { return };
        for (name, feature) in map {
            let column = joined(above, name);
            // A list's element, in the spellings of old and new versions; Python's own list is one in old ones.
            let inner = feature.get("feature").or_else(|| feature.as_array()?.first());
            let feature = inner.unwrap_or(feature);
            match feature.get("_type").and_then(Json::as_str) {
                Some("Image") => self.insert(column, Feature::Image),
                Some("ClassLabel") => {
                    let names = feature.get("names").and_then(Json::as_array);
                    let names = names.map(|n| n.iter().map(json_text).collect()).or_else(|| {
                        // Only their number is known: they are called by it.
                        let count = feature.get("num_classes")?.as_u64().filter(|&n| n < 1 << 20)?;
                        Some((0..count).map(|i| i.to_string()).collect())
                    });
                    if let Some(names) = names {
                        self.insert_names(column, names, path);
                    }
                }
                Some("Value" | "Sequence" | "List" | "LargeList") => {}
                _ => self.add_json(feature, &column, path, depth + 1),
            }
        }
    }

    /// `- {name: label, dtype: {class_label: {names: {'0': tench, …}}}}`, also below `sequence`, `list` and `struct`.
    fn add_yaml(&mut self, features: &Node, above: &str, path: &Path, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        for feature in features.one_or_many() {
            let Some(column) = feature.get("name").and_then(Node::text).map(|name| joined(above, name))
            else {
                continue;
            };
            let of = |key: &str| feature.get(key);
            let kinds = [of("dtype"), of("sequence"), of("list")];
            for kind in kinds.into_iter().flatten() {
                let kind = kind.get("dtype").unwrap_or(kind);
                if kind.text() == Some("image") {
                    self.insert(column.clone(), Feature::Image);
                } else if let Some(names) = kind.get("class_label").and_then(|c| c.get("names")) {
                    if let Some(names) = yaml_names(names) {
                        self.insert_names(column.clone(), names, path);
                    }
                } else if let Some(inner) = kind.get("struct") {
                    self.add_yaml(inner, &column, path, depth + 1);
                }
            }
            if let Some(inner) = of("struct") {
                self.add_yaml(inner, &column, path, depth + 1);
            }
        }
    }

    fn insert(&mut self, column: String, feature: Feature) {
        self.columns.insert(column, feature);
    }

    fn insert_names(&mut self, column: String, names: Vec<String>, path: &Path) {
        let origin = format!("the ClassLabel `{column}` of `{}`", path.display());
        self.insert(column, Feature::ClassLabel(Arc::new(NameList { names, origin })));
    }
}

/// What every configuration says that speaks of a column: where they differ, nobody knows which one is meant.
fn agreed(configurations: impl Iterator<Item = Features>) -> Features {
    let mut columns: BTreeMap<String, Option<Feature>> = BTreeMap::new();
    for (column, feature) in configurations.flat_map(|f| f.columns) {
        let known = columns.entry(column).or_insert_with(|| Some(feature.clone()));
        if known.as_ref().is_some_and(|k| *k != feature) {
            *known = None;
        }
    }
    Features { columns: columns.into_iter().filter_map(|(column, f)| Some((column, f?))).collect() }
}

fn parse(text: &str, path: &Path, expected: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|e| Error::BadLabels {
        path: path.display().to_string(),
        line: e.line(),
        found: e.to_string(),
        expected: format!("{expected} as JSON"),
    })
}

fn joined(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

fn json_text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Names as a list, or by number in any order.
fn yaml_names(names: &Node) -> Option<Vec<String>> {
    let text = |node: &Node| node.text().map(str::to_owned);
    let Some(map) = names.mapping() else { return names.sequence()?.iter().map(text).collect() };
    let mut numbered: Vec<(usize, String)> =
        map.iter().map(|(key, name)| Some((key.text().parse().ok()?, text(name)?))).collect::<Option<_>>()?;
    numbered.sort();
    let is_whole = numbered.iter().enumerate().all(|(at, (number, _))| at == *number);
    is_whole.then(|| numbered.into_iter().map(|(_, name)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(features: &Features, column: &str) -> Vec<String> {
        features.names(column).map(|list| list.names.clone()).unwrap_or_default()
    }

    #[test]
    fn schemas_of_every_version() {
        let of = |text: &str| Features::of_schema(text, Path::new("a.parquet")).unwrap();
        let label = r#"{"names": ["tench", "crane"], "_type": "ClassLabel"}"#;
        let one = of(&format!(
            r#"{{"info": {{"features": {{"image": {{"_type": "Image"}}, "label": {label}}}}}}}"#
        ));
        assert_eq!(one.images().collect::<Vec<_>>(), ["image"]);
        assert_eq!(names(&one, "label"), ["tench", "crane"]);
        assert!(one.names("label").unwrap().origin.contains("a.parquet"));
        for list in ["Sequence", "List"] {
            let text =
                format!(r#"{{"info": {{"features": {{"l": {{"feature": {label}, "_type": "{list}"}}}}}}}}"#);
            assert_eq!(names(&of(&text), "l"), ["tench", "crane"]);
        }
        let inner =
            of(&format!(r#"{{"info": {{"features": {{"json": {{"label": {label}}}, "old": [{label}]}}}}}}"#));
        assert_eq!((names(&inner, "json.label").len(), names(&inner, "old").len()), (2, 2));
        let counted = of(r#"{"info": {"features": {"label": {"num_classes": 3, "_type": "ClassLabel"}}}}"#);
        assert_eq!(names(&counted, "label"), ["0", "1", "2"]);
        assert!(Features::of_schema("{", Path::new("a.parquet")).is_err());
        assert_eq!(of("{}"), Features::default());
    }

    #[test]
    fn cards_and_infos_beside() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        crate::fs::create_dir_all(&data).unwrap();
        let near = || Features::near(&data, dir.path()).unwrap();
        assert_eq!(near(), Features::default());
        let card = "---\ndataset_info:\n  features:\n  - name: image\n    dtype: image\n  - name: label\n    dtype:\n      \
            class_label:\n        names:\n          '1': crane, bird\n          '0': tench\n---\n# A card\n";
        crate::fs::write_atomic(&dir.path().join("README.md"), card.as_bytes()).unwrap();
        assert_eq!(names(&near(), "label"), ["tench", "crane, bird"]);
        assert_eq!(near().label_names(&["label"]).unwrap().names.len(), 2);
        let infos = r#"{"a": {"features": {"label": {"names": ["x"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}},
            "b": {"features": {"label": {"names": ["y"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}}}"#;
        crate::fs::write_atomic(&data.join("dataset_infos.json"), infos.as_bytes()).unwrap();
        assert_eq!(near().images().count(), 1);
        assert!(near().names("label").is_none(), "two configurations differ");
        crate::fs::write_atomic(&data.join("dataset_infos.json"), b"[").unwrap();
        assert!(Features::near(&data, dir.path()).unwrap_err().to_string().contains("dataset_infos.json"));
    }
}
