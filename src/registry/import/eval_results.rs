//! Hugging Face's `.eval_results/*.yaml`: evaluations of a model beside it in its repository.
//!
//! In: such a file, a folder of them, or a repository that has one. Out: an index of one model, named for the
//! repository, whose results are the file's entries as they stand; of a repository with a card they are added to its
//! model. What huggingface_hub refuses is an error, what the hub's specification has otherwise a warning. Source:
//! `_eval_results.py` of huggingface_hub 2.4, and `eval_results.yaml` of the hub's documentation.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::registry::format::{self, Index, Record};
use crate::registry::hub::repository_name;
use crate::registry::tree::{
    self, Limits, Malformed, Mapping, Node, Origin, Problem, ProblemKind, Problems, Schema, Typed, Value,
    View,
};
use crate::registry::values::Date;

/// The folder of a repository that has them.
pub const FOLDER: &str = ".eval_results";

/// Files that one folder may have.
const MAX_FILES: usize = 1_000;

/// The extensions of such files; the hub's API answers with the same as JSON.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Whether a path is that of such a folder.
pub fn is_named(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == FOLDER)
}

/// Whether a folder is one of evaluations, or a repository with one.
pub(super) fn is_in(folder: &Path) -> bool {
    is_named(folder) || folder.join(FOLDER).is_dir()
}

/// Reads one file, if it has evaluations.
pub(super) fn file(path: &Path, limit: u64) -> Result<Option<Index>> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !EXTENSIONS.contains(&extension) {
        return Ok(None);
    }
    // Of a file that is too large or not there the reader of pages says so.
    Ok(crate::fs::read(path, limit).ok().and_then(|bytes| of_bytes(path, &bytes)))
}

/// The same of its bytes: it lies in their folder, or its list is one of them.
pub(super) fn of_bytes(path: &Path, bytes: &[u8]) -> Option<Index> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !EXTENSIONS.contains(&extension) {
        return None;
    }
    let in_folder = path.parent().is_some_and(is_named);
    // No other file that zoo reads has this word, and most need not be read twice.
    if !in_folder && !bytes.windows(7).any(|w| w == b"task_id") {
        return None;
    }
    let entries = match entries(path, extension, bytes) {
        Ok(entries) => entries,
        // Of others the reader of pages says what is wrong.
        Err(Malformed { problems }) => return in_folder.then(|| Index { problems, ..Index::default() }),
    };
    let is_theirs = |node: &Node| node.sequence().is_some_and(|items| items.iter().any(is_entry));
    (in_folder || is_theirs(&entries.root)).then(|| model(&name_of(path), vec![entries]))
}

/// Adds what a folder's or repository's evaluations say to what the rest of it says: to the model of its card, where
/// it has one, else as a model of its own.
pub fn add(folder: &Path, limit: u64, index: &mut Index) -> Result<()> {
    let own = if is_named(folder) { folder.to_owned() } else { folder.join(FOLDER) };
    if !own.is_dir() {
        return Ok(());
    }
    let mut files = Vec::new();
    for path in crate::fs::list(&own)? {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !EXTENSIONS.contains(&extension) {
            continue;
        }
        if files.len() >= MAX_FILES {
            let message = format!("more than {MAX_FILES} files; the others are not read");
            index.problems.push(Problem::of(&own.display().to_string(), message).warning());
            break;
        }
        match crate::fs::read(&path, limit) {
            Ok(bytes) => match entries(&path, extension, &bytes) {
                Ok(entries) => files.push(entries),
                Err(Malformed { problems }) => index.problems.extend(problems),
            },
            Err(e) => index.problems.push(Problem::of(&path.display().to_string(), e.to_string())),
        }
    }
    let found = model(&name_of(&own.join("x")), files);
    index.problems.extend(found.problems);
    let is_card = |m: &&mut Record| m.own.get("Card").is_some();
    let only = index.models.len() == 1;
    let Some(card) = index.models.first_mut().filter(is_card).filter(|_| only) else {
        index.models.extend(found.models);
        return Ok(());
    };
    let more = found.models.first().and_then(|m| m.own.field("Results").cloned());
    let Some(more) = more.filter(|m| !m.one_or_many().is_empty()) else { return Ok(()) };
    let mut results = card.own.field("Results").map(|r| r.one_or_many().to_vec()).unwrap_or_default();
    results.extend(more.one_or_many().iter().cloned());
    if let Some(mapping) = card.own.mapping_mut() {
        mapping.set("Results", Node { value: Value::Sequence(results), ..more });
    }
    // A card is in no collection.
    card.full = card.own.clone();
    Ok(())
}

/// What one file holds.
struct Entries {
    root: Node,
    problems: Problems,
}

fn entries(path: &Path, extension: &str, bytes: &[u8]) -> std::result::Result<Entries, Malformed> {
    let name = path.display().to_string();
    let origin = Origin::file(&name);
    if extension == "json" {
        return tree::json(bytes, origin, &Limits::default())
            .map(|(root, problems)| Entries { root, problems });
    }
    let (documents, mut problems) = tree::yaml(bytes, origin, &Limits::default())?;
    let mut documents = documents.into_iter();
    let root =
        documents.next().unwrap_or_else(|| Node { file: Arc::from(name.as_str()), ..Node::plain("null") });
    if let Some(second) = documents.next() {
        problems.push(Problem::at(&second.file, second.span, "a second document, where the hub reads one"));
    }
    Ok(Entries { root, problems })
}

/// Whether an item of a list is an evaluation, or the hub's answer with one.
fn is_entry(node: &Node) -> bool {
    let node = node.get("data").unwrap_or(node);
    node.get("dataset").is_some_and(|d| d.get("task_id").is_some())
}

/// The name of the repository that a file lies in, else that of the file.
fn name_of(path: &Path) -> String {
    let repository = path
        .parent()
        .filter(|p| is_named(p))
        .and_then(|own| repository_name(own.canonicalize().ok()?.parent()?));
    let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    repository.or_else(stem).unwrap_or_default()
}

/// The index of one model with these results.
fn model(name: &str, files: Vec<Entries>) -> Index {
    let mut problems = Problems::new();
    let mut results = Vec::new();
    let mut places: Vec<(String, String)> = Vec::new();
    let file = files.first().map_or_else(|| Arc::from(""), |f| f.root.file.clone());
    for mut found in files {
        problems.extend(std::mem::take(&mut found.problems));
        let root = View::root(&found.root);
        if found.root.sequence().is_none() {
            let problem = Problem::here(&root, "no evaluations here").kind(ProblemKind::NoMetadata);
            problems
                .push(problem.expected(found.root.kind(), "a list of mappings with `dataset` and `value`"));
        }
        for item in root.items() {
            // What the hub found wrong with a file, in the answer of its API.
            if let Some(error) = item.get("error") {
                let why = error.text().unwrap_or("it is not said why");
                problems.warn(&item, format!("the hub did not take this file: {why}"));
                continue;
            }
            let entry = item.get("data").unwrap_or_else(|| item.clone());
            checked(&entry, &mut problems);
            if entry.node().mapping().is_none() {
                continue;
            }
            if let Some(dataset) = entry.field("dataset") {
                let text = |key: &str| dataset.get(key).and_then(|v| v.text()).unwrap_or_default().to_owned();
                let place = (text("id"), text("task_id"));
                if !place.0.is_empty() && places.contains(&place) {
                    let message = format!("a second value for the task `{}` of `{}`", place.1, place.0);
                    problems.warn(&entry, message);
                }
                places.push(place);
            }
            results.push(entry.node().clone());
        }
    }
    let place = |value: Value| Node { file: file.clone(), ..Node::of(value) };
    let mut of_model = Mapping::default();
    of_model.set("Name", Node { file: file.clone(), ..Node::string(name) });
    of_model.set("Results", place(Value::Sequence(results)));
    // The weights lie in the repository, as a card's do.
    of_model.set("Card", place(Value::Mapping(Mapping::default())));
    let mut index = format::models(&place(Value::Sequence(vec![place(Value::Mapping(of_model))])));
    index.problems.extend(problems);
    index
}

/// A key that must be there; huggingface_hub raises an error without it.
fn need<'a>(of: &View<'a>, key: &str, problems: &mut Problems) -> Option<View<'a>> {
    let value = of.get(key);
    if value.is_none() {
        problems.error(of, format!("no `{key}`"));
    }
    value
}

/// What is wrong with an entry, its place among the file's.
fn checked(entry: &View<'_>, problems: &mut Problems) {
    if entry.node().mapping().is_none() {
        return problems.unexpected(entry, "no evaluation", "a mapping with `dataset` and `value`");
    }
    if let Some(dataset) = need(entry, "dataset", problems) {
        if dataset.node().mapping().is_none() {
            problems.unexpected(&dataset, "no dataset", "a mapping with `id` and `task_id`");
        } else {
            if let Some(id) = need(&dataset, "id", problems)
                && !id.text().is_some_and(is_repository)
            {
                odd(&id, "not the id of a dataset on the hub", "`ORG/NAME`", problems);
            }
            need(&dataset, "task_id", problems);
            if let Some(revision) = dataset.get("revision").filter(|v| !v.node().is_null())
                && !revision.text().is_some_and(is_revision)
            {
                odd(&revision, "not a git commit", "40 hex digits", problems);
            }
        }
    }
    if let Some(value) = need(entry, "value", problems) {
        let number = value.node().scalar().map(|s| s.typed(Schema::Yaml11));
        if !matches!(number, Some(Typed::Int(_) | Typed::Float(_))) {
            odd(&value, "not a number", "the metric's value, such as 78.66", problems);
        }
    }
    if let Some(date) = entry.get("date").filter(|v| !v.node().is_null())
        && !date.text().is_some_and(is_date)
    {
        odd(&date, "not a date", "one of ISO 8601, such as 2026-11-27T10:30:00Z", problems);
    }
    let Some(source) = entry.get("source").filter(|v| !v.node().is_null()) else { return };
    if source.node().mapping().is_none() {
        return problems.unexpected(&source, "no source", "a mapping with `url`");
    }
    let says = |key: &str| source.get(key).is_some_and(|v| !v.node().is_null());
    match source.get("url").filter(|v| !v.node().is_null()) {
        None if ["name", "user", "org"].into_iter().any(says) => {
            problems.error(
                &source,
                "no `url`, without which the hub takes no source's name, user or organisation",
            );
        }
        None => odd(&source, "nothing about the source", "`url`, and `name`, `user` or `org`", problems),
        Some(url) if !url.text().is_some_and(is_link) => {
            odd(&url, "not a link", "an address that begins with `https://`", problems);
        }
        Some(_) => {}
    }
}

/// Whether a text is the id of a repository on the hub: `ORG/NAME`, or one of the few names without an organisation.
pub fn is_repository(text: &str) -> bool {
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        !part.is_empty() && part.len() <= 96 && part.chars().all(plain) && !part.starts_with(['.', '-'])
    };
    text.split_once('/').map_or_else(|| part(text), |(owner, name)| part(owner) && part(name))
}

/// Whether a text is the name of a git commit, in full.
pub fn is_revision(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether a text is an address of the web.
pub fn is_link(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|r| {
        !r.is_empty() && !r.starts_with('/') && !r.contains(|c: char| c.is_whitespace() || c.is_control())
    })
}

/// Something that is read, and is not as the hub's specification has it.
fn odd(view: &View<'_>, message: &str, expected: &str, problems: &mut Problems) {
    let node = view.node();
    let found = node.scalar().map_or(node.kind(), |s| &s.text);
    problems.push(Problem::here(view, message).warning().expected(found, expected));
}

/// A day, or a day and a time, as ISO 8601 has it.
fn is_date(text: &str) -> bool {
    let (day, time) = match text.split_once(['T', 't', ' ']) {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let is_time = |time: &str| {
        let digits = |s: &str| s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit());
        let time = time.trim_end_matches(['Z', 'z']);
        let (clock, zone) = match time.rfind(['+', '-']) {
            Some(at) => time.split_at(at),
            None => (time, ""),
        };
        let clock = clock.trim_end();
        let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let zone = zone.trim_start_matches(['+', '-']);
        let of_zone =
            zone.is_empty() || zone.split(':').all(|p| digits(p) || (p.len() == 4 && !zone.contains(':')));
        (2..=3).contains(&whole.split(':').count())
            && whole.split(':').all(digits)
            && fraction.bytes().all(|b| b.is_ascii_digit())
            && of_zone
    };
    day.parse::<Date>().is_ok() && time.is_none_or(is_time)
}

#[cfg(test)]
mod tests {
    use super::is_date;

    #[test]
    fn dates_are_days_with_or_without_a_time() {
        for date in
            ["2025-01-15", "2025-01-15T10:30:00Z", "2025-01-15T10:30:00.123456+00:00", "2025-01-15 10:30"]
        {
            assert!(is_date(date), "{date}");
        }
        for date in
            ["15.1.2025", "2025-13-01", "2025-01-15T", "yesterday", "2025-01-15T10", "2025-01-15Tab:cd"]
        {
            assert!(!is_date(date), "{date}");
        }
    }
}
