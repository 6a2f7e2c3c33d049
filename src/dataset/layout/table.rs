//! Labels in a text beside the images: CSV and its kin (`path,label` with or without a heading, in whatever order a
//! heading says), `metadata.jsonl` as `datasets` has it, Kaggle's `LOC_val_solution.csv`, and the lists of name and
//! label that Caffe and mmpretrain pass around.
//!
//! In: the text. Out: a [`Table`], or the [`Listing`] of what it names. Called by [`super::list`] and by the tar layout.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::features::Features;
use super::names::{
    LABEL_COLUMNS, PATH_COLUMNS, Split, extension, file_name, is_image, is_system, name_of, stem,
};
use super::{Listing, files};
use crate::dataset::error::{Error, Result};
use crate::dataset::label::{NameList, RawLabel, clean, is_synset, whole_number};

/// The largest table that is read.
const MAX_TABLE: u64 = 1 << 30;

/// The largest text that is looked into for being a table.
const MAX_LIST: u64 = 64 << 20;

/// Where the images of a table are, seen from it.
const FOLDERS: [&str; 9] =
    ["", "images", "img", "val", "validation", "val/images", "data", "data/val", "ILSVRC/Data/CLS-LOC/val"];

/// Tables that count before others in their folder.
const PREFERRED: [&str; 5] =
    ["LOC_val_solution.csv", "metadata.csv", "metadata.jsonl", "labels.csv", "val.csv"];

/// Images and their labels, in a text.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    line: usize,
    image: String,
    label: RawLabel,
    /// Whether it is one where no image is called so.
    may_be_heading: bool,
}

/// The table of a folder, where it has one that is of the images to be measured.
pub(super) fn of_folder(inside: &[PathBuf]) -> Option<&PathBuf> {
    let is_file = |p: &&PathBuf| !is_system(&name_of(p)) && p.is_file();
    let tables: Vec<&PathBuf> = inside.iter().filter(is_file).filter(|p| is_table(p)).collect();
    if let [only] = *tables {
        return Some(only);
    }
    let of_validation = |p: &&&PathBuf| Split::of(stem(&name_of(p))) == Some(Split::Validation);
    let mut validation = tables.iter().filter(of_validation);
    if let (Some(only), None) = (validation.next(), validation.next()) {
        return Some(only);
    }
    let called = |name: &&str| tables.iter().find(|p| name_of(p) == **name).copied();
    PREFERRED.iter().find_map(called)
}

fn is_table(path: &Path) -> bool {
    match extension(path).as_str() {
        "csv" | "tsv" => true,
        "jsonl" => name_of(path) == "metadata.jsonl",
        // Any text may lie about: a list of images begins with the name of one.
        "txt" => {
            let bytes = crate::fs::read(path, MAX_LIST).unwrap_or_default();
            let line = bytes.split(|&b| b == b'\n').find(|line| !line.trim_ascii().is_empty());
            let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
            let mut words = clean(&line).split([' ', '\t', ',', ';']).filter(|w| !w.is_empty());
            words.next().is_some_and(|first| is_image(Path::new(first))) && words.next().is_some()
        }
        _ => false,
    }
}

impl Table {
    /// Reads one. What its numbers stand for may be said beside it, up to the folder `top`.
    ///
    /// # Errors
    /// [`Error::BadLabels`] with the line.
    pub(super) fn read(path: &Path, top: &Path) -> Result<Self> {
        let bytes = crate::fs::read(path, MAX_TABLE)?;
        let bad = |line, found: String| Error::BadLabels {
            path: path.display().to_string(),
            line,
            found,
            expected: "a path and a label (class index, synset or class name)".into(),
        };
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
            bad(1 + before.iter().filter(|&&b| b == b'\n').count(), "bytes that are not UTF-8".into())
        })?;
        let text = text.trim_start_matches('\u{feff}');
        let beside = Features::near(path.parent().unwrap_or(Path::new(".")), top)?;
        let names = beside.label_names(&LABEL_COLUMNS);
        let rows = match extension(path).as_str() {
            "jsonl" => of_json(text, names, bad)?,
            _ => of_text(text, names, bad)?,
        };
        Ok(Table { path: path.to_owned(), rows })
    }

    /// The label of each of some images, why one has none where it has none; and the images that are not among them.
    pub(super) fn labels(&self, images: &[&str]) -> (Vec<RawLabel>, Vec<(String, RawLabel)>, Option<String>) {
        let mut index = Index::default();
        images.iter().enumerate().for_each(|(at, path)| index.add(path, at));
        let mut labels = vec![None; images.len()];
        let mut absent = Vec::new();
        for row in &self.rows {
            match index.find(&row.image).and_then(|at| labels.get_mut(at)) {
                Some(label) => *label = Some(row.label.clone()),
                None if row.may_be_heading => {}
                None => absent.push((row.image.clone(), row.label.clone())),
            }
        }
        let missing = || RawLabel::Missing(format!("`{}` has no row for it", self.path.display()));
        let note = self.of_more_than(absent.len());
        if note.is_some() {
            absent.clear();
        }
        (labels.into_iter().map(|label| label.unwrap_or_else(missing)).collect(), absent, note)
    }

    /// What is said of a table most of whose images are not here: it is of a larger set.
    fn of_more_than(&self, absent: usize) -> Option<String> {
        (2 * absent > self.rows.len()).then(|| {
            let (rows, path) = (self.rows.len(), self.path.display());
            format!("{absent} of the {rows} images that `{path}` names are not here: they are left out")
        })
    }

    /// The images that it names, and those beside them that it does not. They are near the table, or in `images`.
    ///
    /// # Errors
    /// None of them is there.
    pub(super) fn list(mut self, images: &Path) -> Result<Listing> {
        let folder = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        let mut beside = Beside::of(&folder, images)?;
        if self.rows.len() > 1 {
            self.rows.retain(|row| !row.may_be_heading || beside.find(&row.image).is_some());
        }
        let found: Vec<Option<PathBuf>> = self.rows.iter().map(|row| beside.find(&row.image)).collect();
        let there = found.iter().flatten().count();
        if there == 0 {
            let Some(row) = self.rows.first() else {
                return Err(Error::Empty { place: self.path.display().to_string(), layout: LAYOUT });
            };
            return Err(Error::BadLabels {
                path: self.path.display().to_string(),
                line: row.line,
                found: format!("`{}`, and there is no such file", row.image),
                expected: "the path of an image, from the table's folder on".into(),
            });
        }
        let note = self.of_more_than(self.rows.len() - there);
        let mut images = Vec::with_capacity(found.len());
        for (row, found) in self.rows.iter().zip(found) {
            // One that is not there is one bad image.
            let path = found.or_else(|| note.is_none().then(|| folder.join(&row.image)));
            images.extend(path.map(|path| (path, row.label.clone())));
        }
        let others = beside.others();
        let shown = self.path.display();
        let mut notes: Vec<String> = note.into_iter().collect();
        if 2 * others.len() <= there {
            let reason = format!("`{shown}` has no row for it");
            images.extend(others.into_iter().map(|path| (path, RawLabel::Missing(reason.clone()))));
        } else {
            let n = others.len();
            notes.push(format!(
                "{n} images beside those that `{shown}` names have no row there: they are left out"
            ));
        }
        let mut listing = files::listing(LAYOUT, shown.to_string(), images);
        listing.notes = notes;
        Ok(listing)
    }
}

/// What the layout is called.
const LAYOUT: &str = "a table of paths and labels";

/// Where the columns are.
#[derive(Clone, Copy)]
struct Order {
    image: usize,
    label: usize,
}

fn of_text(
    text: &str,
    names: Option<&Arc<NameList>>,
    bad: impl Fn(usize, String) -> Error,
) -> Result<Vec<Row>> {
    let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut rows = Vec::new();
    let Some(delimiter) = delimiter(lines().map(|(_, line)| line).next().unwrap_or_default()) else {
        // Name and label with white space between them: the label is one word.
        for (at, line) in lines() {
            let Some((image, label)) = line.trim().rsplit_once(char::is_whitespace) else {
                return Err(bad(at + 1, format!("`{}`", line.trim())));
            };
            let label = RawLabel::of_text_among(label, names).map_err(|e| bad(at + 1, e))?;
            rows.push(Row { line: at + 1, image: clean(image).to_owned(), label, may_be_heading: false });
        }
        return Ok(rows);
    };
    let mut reader = csv::ReaderBuilder::new();
    let mut reader =
        reader.delimiter(delimiter).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let records = reader.records().enumerate().map(|(i, row)| {
        let row = row.map_err(|e| bad(e.position().map_or(i + 1, |p| p.line() as usize), e.to_string()))?;
        Ok((row.position().map_or(i + 1, |p| p.line() as usize), row))
    });
    let records = records.collect::<Result<Vec<_>>>()?;
    let mut records = records.into_iter().filter(|(_, r)| r.iter().any(|f| !clean(f).is_empty())).peekable();
    let Some((_, first)) = records.peek() else { return Ok(rows) };
    let order = heading(first);
    let columns = first.len();
    let is_heading = order.is_some();
    // A first row that names no image by its extension is a heading, unless an image is called so.
    let may_be_heading = !is_heading && first.get(0).is_some_and(|image| !is_image(Path::new(clean(image))));
    let order = order.unwrap_or(Order { image: 0, label: 1 });
    // A text with commas that nobody quoted goes on to the end of the row.
    let goes_on = order.label + 1 == columns;
    if is_heading {
        records.next();
    }
    for (at, (line, row)) in records.enumerate() {
        let (Some(image), Some(label)) = (row.get(order.image), row.get(order.label)) else {
            return Err(bad(line, format!("{} columns", row.len())));
        };
        let whole: String;
        let label = if goes_on && row.len() > columns {
            let delimiter = char::from(delimiter).to_string();
            whole = row.iter().skip(order.label).collect::<Vec<_>>().join(&delimiter);
            clean(&whole)
        } else {
            clean(label)
        };
        // Kaggle: `n03995372 85 1 499 272`, the class first and then its box, more boxes following.
        let boxed = label.split_once(char::is_whitespace).filter(|(id, rest)| is_synset(id) && is_box(rest));
        let label = boxed.map_or(label, |(id, _)| id);
        let label = RawLabel::of_text_among(label, names).map_err(|e| bad(line, e))?;
        let may_be_heading = may_be_heading && at == 0;
        rows.push(Row { line, image: clean(image).to_owned(), label, may_be_heading });
    }
    Ok(rows)
}

/// Four numbers, or as many as four times.
fn is_box(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit()))
}

/// What is between the columns of a line; `None` where only white space is.
fn delimiter(line: &str) -> Option<u8> {
    let mut quoted = false;
    let bare: Vec<u8> = line
        .bytes()
        .filter(|&b| {
            quoted ^= b == b'"';
            !quoted
        })
        .collect();
    [b'\t', b',', b';', b'|'].into_iter().find(|d| bare.contains(d))
}

/// The columns that a heading names, where it names both.
fn heading(row: &csv::StringRecord) -> Option<Order> {
    let letters = |text: &str| {
        let letters = clean(text).chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.');
        letters.collect::<String>().to_ascii_lowercase()
    };
    let columns: Vec<String> = row.iter().map(letters).collect();
    let of = |known: &[&str], not: Option<usize>| {
        known.iter().find_map(|name| {
            columns.iter().enumerate().position(|(at, column)| Some(at) != not && *column == letters(name))
        })
    };
    let image = of(&PATH_COLUMNS, None)?;
    Some(Order { image, label: of(&LABEL_COLUMNS, Some(image))? })
}

fn of_json(
    text: &str,
    names: Option<&Arc<NameList>>,
    bad: impl Fn(usize, String) -> Error,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line_number = at + 1;
        let json: serde_json::Value =
            serde_json::from_str(line.trim()).map_err(|e| bad(line_number, e.to_string()))?;
        let image = PATH_COLUMNS.iter().find_map(|name| json.get(name)?.as_str());
        let Some(image) = image else { return Err(bad(line_number, "no `file_name`".into())) };
        let label = of_object(&json, names).map_err(|e| bad(line_number, e))?;
        let label = label.unwrap_or_else(|| RawLabel::Missing("its line has no label".into()));
        rows.push(Row { line: line_number, image: image.to_owned(), label, may_be_heading: false });
    }
    Ok(rows)
}

/// The label of a JSON object, under any of the names that columns of labels have.
///
/// # Errors
/// A value that is no label, in words.
pub(super) fn of_object(
    json: &serde_json::Value,
    names: Option<&Arc<NameList>>,
) -> std::result::Result<Option<RawLabel>, String> {
    let value = LABEL_COLUMNS.iter().find_map(|name| json.get(name));
    value.map(|value| of_value(value, names, true)).transpose()
}

fn of_value(
    value: &serde_json::Value,
    names: Option<&Arc<NameList>>,
    may_be_list: bool,
) -> std::result::Result<RawLabel, String> {
    use serde_json::Value;
    match value {
        Value::Null => Ok(RawLabel::Missing("its label is null".into())),
        Value::String(text) => RawLabel::of_text_among(text, names),
        Value::Number(number) => match whole_number(&number.to_string()) {
            Some(number) => RawLabel::of_number(number, names),
            None => Err(format!("label {number}")),
        },
        Value::Array(several) if several.is_empty() => {
            Ok(RawLabel::Missing("its list of labels is empty".into()))
        }
        Value::Array(several) if may_be_list => several
            .iter()
            .map(|v| of_value(v, names, false))
            .collect::<std::result::Result<_, _>>()
            .map(RawLabel::Any),
        other => Err(format!("label {other}")),
    }
}

/// Images by what a row may call them: the path, the file's name, the name without extension.
#[derive(Default)]
struct Index {
    by_path: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
    by_stem: HashMap<String, usize>,
}

impl Index {
    fn add(&mut self, path: &str, at: usize) {
        let path = path.strip_prefix("./").unwrap_or(path);
        let name = file_name(path);
        self.by_path.entry(path.to_owned()).or_insert(at);
        self.by_name.entry(name.to_owned()).or_insert(at);
        self.by_stem.entry(stem(name).to_owned()).or_insert(at);
    }

    fn find(&self, image: &str) -> Option<usize> {
        let image = image.strip_prefix("./").unwrap_or(image);
        let name = file_name(image);
        let by_stem = || if is_image(Path::new(name)) { None } else { self.by_stem.get(name) };
        self.by_path.get(image).or_else(|| self.by_name.get(name)).or_else(by_stem).copied()
    }
}

/// The files where a table's images may be.
struct Beside {
    folder: PathBuf,
    files: Vec<PathBuf>,
    index: Index,
    used: HashSet<PathBuf>,
}

impl Beside {
    fn of(folder: &Path, images: &Path) -> Result<Self> {
        let (mut files, mut index) = (Vec::new(), Index::default());
        let mut folders: Vec<PathBuf> = FOLDERS.map(|f| folder.join(f)).into();
        if !folders.iter().any(|f| f == images) {
            folders.push(images.to_owned());
        }
        for inner in folders.iter().filter(|f| f.is_dir()) {
            for path in super::folder::visible(inner)? {
                if !path.is_dir() && is_image(&path) {
                    index.add(&name_of(&path), files.len());
                    files.push(path);
                }
            }
        }
        Ok(Beside { folder: folder.to_owned(), files, index, used: HashSet::new() })
    }

    fn find(&mut self, image: &str) -> Option<PathBuf> {
        let exact = image.contains(['/', '\\']).then(|| self.folder.join(image.replace('\\', "/")));
        let exact = exact.filter(|p| is_image(p) && (p.is_file() || p.is_symlink()));
        let path = exact.or_else(|| self.files.get(self.index.find(image)?).cloned())?;
        self.used.insert(path.clone());
        Some(path)
    }

    /// The other images of the folders that images were found in.
    fn others(&self) -> Vec<PathBuf> {
        let folders: HashSet<&Path> = self.used.iter().filter_map(|p| p.parent()).collect();
        let other = |p: &&PathBuf| p.parent().is_some_and(|f| folders.contains(f)) && !self.used.contains(*p);
        self.files.iter().filter(other).cloned().collect()
    }
}
