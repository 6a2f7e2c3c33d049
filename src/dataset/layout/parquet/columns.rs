//! Which columns of a parquet file hold the images and the labels.
//!
//! In: the schema, and Hugging Face's description of it. Out: [`Columns`]. Called when a file is opened.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use crate::dataset::error::{Error, Result};
use crate::dataset::label::NameList;
use crate::dataset::layout::features::Features;
use crate::dataset::layout::names::LABEL_COLUMNS;

/// Columns that hold names where `label` may be a number: surer than a number without names.
const NAME_COLUMNS: [&str; 7] =
    ["wnid", "synset", "synset_id", "class_name", "label_name", "label_text", "text_label"];

/// What columns of images are called where nothing says which they are. The short ones are WebDataset's.
const IMAGE_COLUMNS: [&str; 12] = [
    "image",
    "images",
    "img",
    "jpg",
    "jpeg",
    "png",
    "webp",
    "picture",
    "photo",
    "image_bytes",
    "bytes",
    "image_path",
];

/// What a column is called that names an image, where its bytes are in a column of their own.
const PATH_COLUMNS: [&str; 7] = ["path", "file_name", "filename", "file", "image_path", "__key__", "key"];

/// The leaves that are read, by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// The file's bytes, where they are inside.
    pub(super) bytes: Option<usize>,
    /// What an image is called, or where it is.
    pub(super) path: Option<usize>,
    pub(super) label: Label,
}

/// The column of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) leaf: usize,
    /// Whether a row has any number of them.
    pub(super) is_list: bool,
    /// What its numbers stand for.
    pub(super) names: Option<Arc<NameList>>,
}

impl Columns {
    /// Finds them.
    ///
    /// # Errors
    /// [`Error::BadArchive`] with the columns that there are.
    pub(super) fn of(
        schema: &SchemaDescriptor,
        own: &Features,
        beside: &Features,
        path: &Path,
    ) -> Result<Self> {
        let broken = |reason: String| Error::BadArchive { path: path.display().to_string(), reason };
        let all = || schema.columns().iter().map(|c| c.path().string()).collect::<Vec<_>>().join("`, `");
        let Some((bytes, image)) = image(schema, own).or_else(|| image(schema, beside)) else {
            return Err(broken(format!("there is no column of images (`image`), only `{}`", all())));
        };
        let label = label(schema, own, beside).map_err(|several| {
            broken(format!(
                "several columns are labels, and none is called `label`: `{}`",
                several.join("`, `")
            ))
        })?;
        let label = label.ok_or_else(|| broken(format!("there is no column `label`, only `{}`", all())))?;
        Ok(Columns { bytes, path: image, label })
    }
}

/// The leaves of bytes and path: of one column, or of two.
fn image(schema: &SchemaDescriptor, features: &Features) -> Option<(Option<usize>, Option<usize>)> {
    let all = || image_columns(schema, features);
    let (bytes, path) = all().find(|found| found.0.is_some()).or_else(|| all().next())?;
    let text = |name: &&str| find(schema, name).filter(|&leaf| is_text(&schema.column(leaf)));
    Some((bytes, path.or_else(|| PATH_COLUMNS.iter().copied().find_map(|name| text(&name)))))
}

fn image_columns<'a>(
    schema: &'a SchemaDescriptor,
    features: &'a Features,
) -> impl Iterator<Item = (Option<usize>, Option<usize>)> + 'a {
    let declared = features.images().collect::<Vec<_>>();
    let mut names: Vec<&str> = IMAGE_COLUMNS.iter().copied().filter(|name| declared.contains(name)).collect();
    names.extend(declared);
    names.extend(IMAGE_COLUMNS);
    names.into_iter().filter_map(|name| image_called(schema, name))
}

fn image_called(schema: &SchemaDescriptor, name: &str) -> Option<(Option<usize>, Option<usize>)> {
    let binary = |leaf: &usize| {
        let column = schema.column(*leaf);
        let kind = column.physical_type();
        column.max_rep_level() == 0 && kind == Type::BYTE_ARRAY
    };
    let inner = |part: &str| find(schema, &format!("{name}.{part}")).filter(binary);
    let (bytes, path) = (inner("bytes"), inner("path"));
    if bytes.is_some() || path.is_some() {
        return Some((bytes, path));
    }
    let leaf = find(schema, name).filter(binary)?;
    // A column of texts says where the images are.
    Some(if is_text(&schema.column(leaf)) { (None, Some(leaf)) } else { (Some(leaf), None) })
}

fn label(
    schema: &SchemaDescriptor,
    own: &Features,
    beside: &Features,
) -> std::result::Result<Option<Label>, Vec<String>> {
    for features in [own, beside] {
        let declared: Vec<&str> =
            features.class_labels().filter(|name| leaf_of(schema, name).is_some()).collect();
        let known = LABEL_COLUMNS.iter().copied().find(|name| declared.contains(name));
        let column = match (known, declared.as_slice()) {
            (Some(known), _) => known,
            (None, [only]) => only,
            (None, []) => continue,
            (None, several) => return Err(several.iter().map(|&s| s.to_owned()).collect()),
        };
        let names = features.names(column).cloned();
        return Ok(leaf_of(schema, column).map(|(leaf, is_list)| Label { leaf, is_list, names }));
    }
    let text = |name: &&&str| leaf_of(schema, name).is_some_and(|(leaf, _)| is_text(&schema.column(leaf)));
    let named = NAME_COLUMNS.iter().find(text);
    let column = named.or_else(|| LABEL_COLUMNS.iter().find(|name| leaf_of(schema, name).is_some()));
    let leaf = column.and_then(|name| leaf_of(schema, name));
    Ok(leaf.map(|(leaf, is_list)| Label { leaf, is_list, names: None }))
}

/// A column of single values or of lists of them.
fn leaf_of(schema: &SchemaDescriptor, name: &str) -> Option<(usize, bool)> {
    let single = find(schema, name).filter(|&leaf| schema.column(leaf).max_rep_level() == 0);
    // Parquet's three spellings of a list.
    let list = || {
        let spellings = ["list.element", "list.item", "bag.array_element"];
        let found = spellings.iter().find_map(|inner| find(schema, &format!("{name}.{inner}")));
        found.or_else(|| find(schema, name)).filter(|&leaf| schema.column(leaf).max_rep_level() == 1)
    };
    single.map(|leaf| (leaf, false)).or_else(|| list().map(|leaf| (leaf, true)))
}

/// The leaf of a path, else the only one whose path ends so.
fn find(schema: &SchemaDescriptor, path: &str) -> Option<usize> {
    let paths = || schema.columns().iter().map(|c| c.path().string()).enumerate();
    if let Some((leaf, _)) = paths().find(|(_, p)| p == path) {
        return Some(leaf);
    }
    let end = format!(".{path}");
    let mut ending = paths().filter(|(_, p)| p.ends_with(&end)).map(|(leaf, _)| leaf);
    let first = ending.next()?;
    if ending.next().is_none() { Some(first) } else { None }
}

fn is_text(column: &ColumnDescriptor) -> bool {
    column.converted_type() == ConvertedType::UTF8
        || matches!(column.logical_type_ref(), Some(LogicalType::String))
}
