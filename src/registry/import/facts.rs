//! Facts about weights that pages leave out, from a table to each entry's `zoo:` section.
//!
//! In: a CSV with a row for each model. Out: the index with those facts, each with its evidence. A fact the
//! table leaves empty is unknown and is left out, not guessed; what an entry's section already says and the
//! table does not know stays.
//!
//! | column | fact |
//! | --- | --- |
//! | `name` | the model |
//! | `arch`, `arch_in` | the architecture by its timm name (empty: the model's own), and timm's version |
//! | `w_source` | where the facts of the weights are from |
//! | `w_mean`, `w_std` | three numbers a channel, separated by spaces |
//! | `classifier`, `first_conv` | state-dict prefixes |
//! | `w_params` | exact number of parameters |
//! | `w_names` | `same`: timm 0.4.12, which the pages are from, named the tensors as 1.0.31 does; `differ` |
//! | `w_licence`, `w_tag` | licence and timm's tag of the file with the same hash |
//! | `w_input`, `w_crop_pct`, `w_interpolation` | the weights' own evaluation configuration |
//! | `today`, `today_url`, `today_hf`, `today_same` | what timm makes of the name now |

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::{Class, Classify};
use crate::registry::format::{Index, ordered};
use crate::registry::tree::{Mapping, Node, Value};

/// A table of facts that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] crate::fs::Error),
    /// It is no table.
    #[error("`{}` is not a table of facts: {why}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A cell is not what its column means.
    #[error("`{}`: row of `{model}`, column `{column}`: found `{found}`, expected {expected}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The row.
        model: String,
        /// The column.
        column: &'static str,
        /// What stands there.
        found: String,
        /// What may.
        expected: &'static str,
    },
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Read(e) => e.class(),
            _ => Class::BadInput,
        }
    }
}

/// The largest table.
const MAX_BYTES: u64 = 16 << 20;

const COLUMNS: [&str; 19] = [
    "name",
    "arch",
    "arch_in",
    "w_source",
    "w_mean",
    "w_std",
    "classifier",
    "first_conv",
    "w_params",
    "w_names",
    "w_licence",
    "w_tag",
    "w_input",
    "w_crop_pct",
    "w_interpolation",
    "today",
    "today_url",
    "today_hf",
    "today_same",
];

/// A table of facts.
#[derive(Clone, Debug)]
pub struct Facts {
    path: PathBuf,
    rows: HashMap<String, HashMap<&'static str, String>>,
}

impl Facts {
    /// Reads a table. Columns may come in any order; others are ignored.
    ///
    /// # Errors
    /// [`Error`], when the file cannot be read, is no CSV, or lacks a column.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = crate::fs::read(path, MAX_BYTES)?;
        let table = |why: String| Error::Table { path: path.to_owned(), why };
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let headers = reader.headers().map_err(|e| table(e.to_string()))?.clone();
        let mut places = Vec::new();
        for column in COLUMNS {
            let place = headers.iter().position(|h| h == column);
            places.push((column, place.ok_or_else(|| table(format!("no column `{column}`")))?));
        }
        let mut rows = HashMap::new();
        for record in reader.records() {
            let record = record.map_err(|e| table(e.to_string()))?;
            let cell = |at: usize| record.get(at).unwrap_or_default().trim().to_owned();
            let row: HashMap<_, _> = places.iter().map(|&(column, at)| (column, cell(at))).collect();
            let name = row.get("name").cloned().unwrap_or_default();
            if rows.insert(name.clone(), row).is_some() {
                return Err(table(format!("two rows of `{name}`")));
            }
        }
        Ok(Facts { path: path.to_owned(), rows })
    }

    /// Adds its facts to the models it knows, and returns the names of those it does not.
    ///
    /// # Errors
    /// [`Error::Cell`].
    pub fn apply(&self, index: &mut Index) -> Result<Vec<String>, Error> {
        let mut unknown = Vec::new();
        for model in &mut index.models {
            let name = model.name().unwrap_or_default().to_owned();
            let Some(row) = self.rows.get(&name) else {
                unknown.push(name);
                continue;
            };
            let weights = model.own.field("Weights").and_then(|w| w.one_or_many().first()?.text());
            let is_pth = weights.is_some_and(|w| w.ends_with(".pth"));
            let mut section = model.own.field("zoo").and_then(Node::mapping).cloned().unwrap_or_default();
            Row { facts: self, name: &name, cells: row }.apply(&mut section, is_pth)?;
            let mut own = model.own.clone();
            if let Some(mapping) = own.mapping_mut() {
                mapping.set("zoo", Node::of(Value::Mapping(section)));
            }
            model.own = ordered(own);
            if let Some(full) = model.full.mapping_mut()
                && let Some(section) = model.own.get("zoo")
            {
                full.set("zoo", section.clone());
            }
        }
        Ok(unknown)
    }
}

struct Row<'a> {
    facts: &'a Facts,
    name: &'a str,
    cells: &'a HashMap<&'static str, String>,
}

impl Row<'_> {
    /// A cell that is not empty.
    fn cell(&self, column: &'static str) -> Option<&str> {
        self.cells.get(column).map(String::as_str).filter(|c| !c.is_empty())
    }

    fn refuse(&self, column: &'static str, expected: &'static str) -> Error {
        Error::Cell {
            path: self.facts.path.clone(),
            model: self.name.to_owned(),
            column,
            found: self.cell(column).unwrap_or_default().to_owned(),
            expected,
        }
    }

    fn apply(&self, section: &mut Mapping, is_pth: bool) -> Result<(), Error> {
        let arch_in = self.cell("arch_in").map(|version| format!("timm {version}")).unwrap_or_default();
        let source = self.cell("w_source").unwrap_or_default();
        let same_hash = "timm 1.0.31, file of the same hash";
        let mut evidence = section.get("evidence").and_then(Node::mapping).cloned().unwrap_or_default();
        let mut add = |key: &str, value: Option<Node>, from: &str| {
            if let Some(value) = value {
                section.set(key, value);
                evidence.set(key, Node::string(from));
            }
        };
        let text = |column| self.cell(column).map(Node::string);
        // An architecture of the model's own name has no other.
        let arch = self.cell("arch").or(self.cell("arch_in").map(|_| self.name));
        add("arch", arch.map(Node::string), &arch_in);
        add("mean", self.triple("w_mean")?, source);
        add("std", self.triple("w_std")?, source);
        add("classifier", text("classifier"), &arch_in);
        add("first_conv", text("first_conv"), &arch_in);
        add("params", self.number("w_params")?, source);
        let names = match self.cell("w_names").filter(|_| is_pth) {
            Some("same") => Some("timm"),
            Some("differ") => Some("timm 0.4.12"),
            _ => None,
        };
        add("names", names.map(Node::string), "state dicts of timm 0.4.12 and 1.0.31");
        add("licence", text("w_licence"), same_hash);
        let hub = self.cell("today_same") == Some("same file");
        add("hf_id", text("today_hf").filter(|_| hub), same_hash);
        add("tag", text("w_tag"), same_hash);
        add("config", self.config()?, source);
        add("today", self.today(), "timm 1.0.31");
        section.set("evidence", Node::of(Value::Mapping(evidence)));
        Ok(())
    }

    fn number(&self, column: &'static str) -> Result<Option<Node>, Error> {
        match self.cell(column) {
            None => Ok(None),
            Some(text) if text.parse::<u64>().is_ok() => Ok(Some(Node::plain(text))),
            Some(_) => Err(self.refuse(column, "a whole number")),
        }
    }

    fn triple(&self, column: &'static str) -> Result<Option<Node>, Error> {
        let Some(text) = self.cell(column) else { return Ok(None) };
        let numbers: Vec<_> = text.split_whitespace().collect();
        match numbers.len() == 3 && numbers.iter().all(|n| n.parse::<f32>().is_ok()) {
            true => Ok(Some(Node::of(Value::Sequence(numbers.into_iter().map(Node::plain).collect())))),
            false => Err(self.refuse(column, "three numbers, one a channel")),
        }
    }

    /// Size, crop and filter of the weights' own configuration, as the entry's metadata would say them.
    fn config(&self) -> Result<Option<Node>, Error> {
        let mut config = Mapping::default();
        if let Some(input) = self.cell("w_input") {
            let sides: Vec<_> = input.split('x').collect();
            match sides.as_slice() {
                [_, height, width] if height == width => config.set("image_size", Node::plain(*height)),
                [_, height, width] => config.set("image_size", Node::string(format!("{height}x{width}"))),
                _ => return Err(self.refuse("w_input", "channels, height and width such as `3x224x224`")),
            }
        }
        if let Some(crop) = self.cell("w_crop_pct") {
            crop.parse::<f64>().map_err(|_| self.refuse("w_crop_pct", "a number"))?;
            config.set("crop_pct", Node::plain(crop));
        }
        if let Some(filter) = self.cell("w_interpolation") {
            config.set("interpolation", Node::string(filter));
        }
        Ok((!config.is_empty()).then(|| Node::of(Value::Mapping(config))))
    }

    fn today(&self) -> Option<Node> {
        let mut today = Mapping::default();
        for (key, column) in [("name", "today"), ("url", "today_url")] {
            if let Some(cell) = self.cell(column) {
                today.set(key, Node::string(cell));
            }
        }
        (!today.is_empty()).then(|| Node::of(Value::Mapping(today)))
    }
}
