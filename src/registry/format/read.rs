//! What a file of a model-index holds, and the parts of it that other files hold.
//!
//! In: the first file. Out: an [`Index`] without inheritance. The rules are those of Python's
//! `modelindex.load`: a mapping with `Models`, `Collections` or `Import` is an index; one with a `Task`, a
//! `Dataset` and `Metrics` a result; one with a `Name` and another field of a model, or with `Results`, a
//! model; a list is what its first item is.

use std::path::Path;

use super::fields::{self, normalise, spell};
use super::files::{File, Files};
use super::{Index, Record, is_eval_result};
use crate::registry::tree::{self, Node, Problem, Problems, Value, View, join, same_field};

/// Reads the first file and all it refers to.
pub(super) fn root_file(files: &mut Files, path: &Path) -> Index {
    let mut index = Index::default();
    let mut problems = Problems::new();
    files.first(path, &mut problems, |files, file, problems| {
        root(files, &path.display().to_string(), file, &mut index, problems);
    });
    index.problems = problems;
    index
}

/// The same from bytes; references to files are refused.
pub(super) fn root_bytes(files: &mut Files, name: &str, bytes: &[u8]) -> Index {
    let mut index = Index::default();
    let mut problems = Problems::new();
    if let Some(file) = files.bytes(name, bytes, &mut problems) {
        root(files, name, file, &mut index, &mut problems);
    }
    index.problems = problems;
    index
}

/// The models of a list.
pub(super) fn list(files: &mut Files, node: &Node) -> Index {
    let mut index = Index::default();
    models(files, &View::root(node), None, &mut index.models, &mut index.problems);
    index
}

/// What a mapping is, by its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageKind {
    Index,
    Result,
    Model,
    Other,
}

fn kind(node: &Node) -> PageKind {
    let has =
        |field: &str| node.mapping().is_some_and(|m| m.iter().any(|(k, _)| same_field(k.text(), field)));
    let of_model = ["Paper", "Code", "Weights", "Config", "README", "Metadata", "Results", "In Collection"];
    if ["Models", "Collections", "Import"].into_iter().any(has) {
        PageKind::Index
    } else if ["Task", "Dataset", "Metrics"].into_iter().all(has) {
        PageKind::Result
    } else if (has("Name") && of_model.into_iter().any(has)) || has("Results") {
        PageKind::Model
    } else {
        PageKind::Other
    }
}

fn root(files: &mut Files, name: &str, file: File, index: &mut Index, problems: &mut Problems) {
    // A page that is an index has models of its own; only a page that is one model is that model's README.
    let readme = |kind: PageKind| (file.markdown && kind == PageKind::Model).then(|| base_name(name));
    let view = View::root(&file.root);
    match &file.root.value {
        Value::Mapping(_) => match kind(&file.root) {
            PageKind::Index => whole(files, &view, None, index, problems),
            PageKind::Model => {
                let record =
                    model(files, &file.root, String::new(), readme(PageKind::Model).as_deref(), problems);
                index.models.extend(record);
            }
            PageKind::Result | PageKind::Other => no_model(&view, problems),
        },
        Value::Sequence(items) if items.iter().any(|i| kind(i) == PageKind::Model) => {
            models(files, &view, None, &mut index.models, problems);
        }
        _ if problems.has_errors() => {}
        _ => no_model(&view, problems),
    }
}

fn base_name(path: &str) -> String {
    Path::new(path).file_name().map_or(path.to_owned(), |n| n.to_string_lossy().into_owned())
}

fn no_model(view: &View<'_>, problems: &mut Problems) {
    let expected = "a mapping with `Models`, `Collections` or `Import`, a model, or a list of models";
    let node = view.node();
    let found = node.scalar().map_or(node.kind(), |s| &s.text);
    let problem = Problem::here(view, "not a model-index").kind(tree::ProblemKind::NoMetadata);
    problems.push(problem.expected(found, expected));
}

/// An index: its models, its collections, its library, then what it imports.
fn whole(
    files: &mut Files,
    view: &View<'_>,
    readme: Option<&str>,
    index: &mut Index,
    problems: &mut Problems,
) {
    for (key, value) in view.entries() {
        let field = fields::ROOT.iter().find(|field| same_field(key.text(), field));
        match field {
            Some(&"Models") => models(files, &value, readme, &mut index.models, problems),
            Some(&"Collections") => collections(files, &value, readme, &mut index.collections, problems),
            Some(&"Library") => index.library = library(files, &value, problems),
            Some(&"Import") => {}
            _ => index.others.push((key.text().to_owned(), value.node().clone())),
        }
    }
    let imports = view.entries().filter(|(key, _)| same_field(key.text(), "Import"));
    for import in imports.flat_map(|(_, value)| value.one_or_many()) {
        if import.text().is_none() {
            problems.unexpected(&import, "no import", "a file name, with `*` and `?` for several");
            continue;
        }
        files.each(&import, problems, |files, name, file, problems| {
            let view = View::root(&file.root);
            let readme = file.markdown.then_some(name);
            match (&file.root.value, kind(&file.root)) {
                (Value::Mapping(_), PageKind::Index) => whole(files, &view, readme, index, problems),
                (Value::Mapping(_), PageKind::Model) => {
                    index.models.extend(model(files, &file.root, String::new(), readme, problems));
                }
                (Value::Sequence(_), _) => models(files, &view, readme, &mut index.models, problems),
                // A page without metadata, among those a pattern matched, is nothing to mention.
                _ if file.markdown && file.root.is_null() => {}
                _ => problems.push(Problem::here(&view, "nothing to import: no model-index").warning()),
            }
        });
    }
}

/// `Models`: mappings, file names, or one of either.
fn models(
    files: &mut Files,
    view: &View<'_>,
    readme: Option<&str>,
    out: &mut Vec<Record>,
    problems: &mut Problems,
) {
    for item in view.one_or_many() {
        match &item.node().value {
            Value::Mapping(_) => {
                out.extend(model(files, item.node(), item.path().to_owned(), readme, problems));
            }
            Value::Scalar(_) if item.text().is_some() => {
                files.each(&item, problems, |files, name, file, problems| {
                    let root = unwrapped(&file.root, "Model", "Models");
                    let readme = file.markdown.then_some(name);
                    match &root.value {
                        Value::Mapping(_) => {
                            out.extend(model(files, root, String::new(), readme, problems));
                        }
                        Value::Sequence(_) => {
                            models(files, &View::at(root, "Models"), readme, out, problems);
                        }
                        Value::Scalar(_) => no_model(&View::root(root), problems),
                    }
                });
            }
            _ => problems.unexpected(&item, "no model", "a mapping or a file name"),
        }
    }
}

/// `Collections`: mappings, file names, or one of either.
fn collections(
    files: &mut Files,
    view: &View<'_>,
    readme: Option<&str>,
    out: &mut Vec<Record>,
    problems: &mut Problems,
) {
    for item in view.one_or_many() {
        match &item.node().value {
            Value::Mapping(_) => {
                out.extend(model(files, item.node(), item.path().to_owned(), readme, problems));
            }
            Value::Scalar(_) if item.text().is_some() => {
                files.each(&item, problems, |files, name, file, problems| {
                    let root = unwrapped(&file.root, "Collection", "Collections");
                    let readme = file.markdown.then_some(name);
                    match &root.value {
                        Value::Mapping(_) => {
                            out.extend(model(files, root, String::new(), readme, problems));
                        }
                        Value::Sequence(_) => {
                            collections(files, &View::at(root, "Collections"), readme, out, problems);
                        }
                        Value::Scalar(_) => {
                            problems.unexpected(&View::root(root), "no collection", "a mapping or a list");
                        }
                    }
                });
            }
            _ => problems.unexpected(&item, "no collection", "a mapping or a file name"),
        }
    }
}

/// What a file has under the one key or the other, or itself.
fn unwrapped<'a>(root: &'a Node, one: &str, many: &str) -> &'a Node {
    root.field(one).or_else(|| root.field(many)).unwrap_or(root)
}

/// One model or collection, with its metadata and results from other files where they are.
fn model(
    files: &mut Files,
    node: &Node,
    path: String,
    readme: Option<&str>,
    problems: &mut Problems,
) -> Option<Record> {
    let mut own = node.clone();
    normalise(&mut own, &path, problems);
    let name = own.field("Name").and_then(Node::text).unwrap_or_default();
    if name.is_empty() {
        let view = View::at(&own, path.as_str());
        let says_more =
            own.mapping().is_some_and(|m| m.iter().any(|(k, v)| k.text() != "Name" && !v.is_null()));
        if !says_more {
            problems.unexpected(&view, "no name", "a mapping with `Name`");
            return None;
        }
        problems.warn(&view, "no name: it can only be addressed by its number");
    }
    if let Some(node) = own.field("Metadata").cloned() {
        let view = View::at(&node, join(&path, "Metadata"));
        match &node.value {
            Value::Mapping(_) => {}
            Value::Scalar(_) if view.text().is_some() => {
                let mut found = None;
                files.each(&view, problems, |_, _, file, problems| match file.root.mapping() {
                    Some(_) => found = Some(file.root),
                    None => problems.unexpected(&View::root(&file.root), "no metadata", "a mapping"),
                });
                if let Some(found) = found {
                    set(&mut own, "Metadata", found);
                }
            }
            _ => problems.unexpected(&view, "no metadata", "a mapping or a file name"),
        }
    }
    if let Some(node) = own.field("Results").cloned() {
        let mut list = Vec::new();
        results(files, &View::at(&node, join(&path, "Results")), &mut list, problems);
        let all = Node { value: Value::Sequence(list), ..node.clone() };
        set(&mut own, "Results", all);
    }
    // Metadata and results of other files have their own spelling.
    normalise(&mut own, &path, problems);
    // Only what someone wrote is looked for: the page itself is there.
    linked_files(files, &View::at(&own, path.as_str()), problems);
    if let Some(readme) = readme {
        let file = own.file.clone();
        set(&mut own, "README", Node { file, ..Node::string(readme) });
    }
    Some(Record { full: own.clone(), own, path })
}

fn set(node: &mut Node, key: &str, value: Node) {
    if let Some(mapping) = node.mapping_mut() {
        mapping.set(key, value);
    }
}

/// `Results`: mappings, file names, or one of either; a file holds one or many, alone or under a key.
fn results(files: &mut Files, view: &View<'_>, out: &mut Vec<Node>, problems: &mut Problems) {
    for item in view.one_or_many() {
        match &item.node().value {
            Value::Mapping(_) => {
                let mut result = item.node().clone();
                spell(&mut result, fields::RESULT, item.path(), problems);
                let whole = View::at(&result, item.path());
                for field in fields::RESULT {
                    if whole.field(field).is_none() && !is_eval_result(&result) {
                        problems.warn(&whole, format!("a result without `{field}`"));
                    }
                }
                out.push(result);
            }
            Value::Scalar(_) if item.text().is_some() => {
                files.each(&item, problems, |files, _, file, problems| {
                    let root = unwrapped(&file.root, "Result", "Results");
                    match &root.value {
                        Value::Scalar(_) => {
                            problems.unexpected(&View::root(root), "no results", "a mapping or a list");
                        }
                        _ => results(files, &View::at(root, "Results"), out, problems),
                    }
                });
            }
            _ => problems.unexpected(&item, "no result", "a mapping or a file name"),
        }
    }
}

fn library(files: &mut Files, view: &View<'_>, problems: &mut Problems) -> Option<Node> {
    let mut found = None;
    match &view.node().value {
        Value::Mapping(_) => found = Some(view.node().clone()),
        Value::Scalar(_) if view.text().is_some() => {
            files.each(view, problems, |_, _, file, _| {
                found = Some(file.root.field("Library").unwrap_or(&file.root).clone());
            });
        }
        _ => problems.unexpected(view, "no library", "a mapping or a file name"),
    }
    if let Some(node) = &mut found {
        spell(node, fields::LIBRARY, view.path(), problems);
    }
    found
}

/// README and image may be files; a warning says which are missing.
fn linked_files(files: &Files, view: &View<'_>, problems: &mut Problems) {
    for (field, is_path) in [
        ("README", (|text: &str| text.ends_with(".md") && text.len() < 256) as fn(&str) -> bool),
        ("Image", |text: &str| !text.starts_with("http")),
    ] {
        let Some(value) = view.field(field) else { continue };
        if value
            .text()
            .is_some_and(|text| is_path(text) && !text.contains("://") && files.is_file(text) == Some(false))
        {
            let message = format!("`{}` is not a file here", value.text().unwrap_or_default());
            problems.push(Problem::here(&value, message).warning().kind(tree::ProblemKind::MissingFile));
        }
    }
}
