//! Images in tar archives, indexed by their headers and then read in place: the official
//! `ILSVRC2012_img_val.tar`, WebDataset shards (`KEY.jpg` beside `KEY.cls` or `KEY.json`), and class folders
//! that someone packed.

use std::collections::HashMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::archive::{Archive, Span, Spans};
use super::folder::is_class_name;
use super::validation::Truth;
use super::{Found, Listing, RawLabel, is_image};
use crate::dataset::error::{Error, Result};
use crate::dataset::id::validation_number;

/// Members of all archives together; ImageNet's training set has 1.3 million.
const MAX_MEMBERS: usize = 20_000_000;

/// The largest label member that is read.
const MAX_LABEL: u64 = 1 << 16;

/// A file in an archive.
struct Member {
    path: String,
    span: Span,
}

/// Reads archives; `near` is the folder where the devkit may lie.
pub(super) fn list(paths: &[PathBuf], place: String, near: &Path) -> Result<Listing> {
    let mut archives = Vec::new();
    let mut members = Vec::new();
    for path in paths {
        let archive = Archive::open(path)?;
        index(&archive, archives.len(), &mut members)?;
        archives.push(archive);
    }
    let images: Vec<&Member> = members.iter().filter(|m| is_image(Path::new(&m.path))).collect();
    if images.is_empty() {
        return Err(Error::Empty { place, layout: "tar" });
    }
    let (layout, labels) = if let Some(labels) = shard_labels(&archives, &members, &images)? {
        ("WebDataset shards", labels)
    } else if images.iter().all(|m| folder_of(&m.path).is_some_and(is_class_name)) {
        ("class folders in a tar", folder_labels(&place, &images)?)
    } else if images.iter().all(|m| validation_number(file_name(&m.path)).is_some()) {
        let truth = Truth::near(near)?.ok_or_else(|| Truth::missing(&place))?;
        let labels = images.iter().map(|m| truth.label(file_name(&m.path))).collect::<Result<_>>()?;
        ("the official tar", labels)
    } else {
        ("class folders in a tar", folder_labels(&place, &images)?)
    };
    let found =
        images.iter().zip(labels).map(|(member, label)| Found { path: member.path.clone(), label }).collect();
    let spans = images.iter().map(|m| m.span).collect();
    Ok(Listing { layout, place, found, images: Box::new(Spans { archives, spans }) })
}

/// Walks the headers of one archive.
fn index(archive: &Archive, number: usize, members: &mut Vec<Member>) -> Result<()> {
    let file = archive.file.try_clone().map_err(crate::fs::at("open", &archive.path))?;
    let mut reader = tar::Archive::new(BufReader::with_capacity(1 << 12, file));
    let broken = |e: std::io::Error| archive.broken(e.to_string());
    let mut total = 0;
    for entry in reader.entries_with_seek().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        total += 1;
        if members.len() >= MAX_MEMBERS {
            return Err(archive.broken(format!("more than {MAX_MEMBERS} members")));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        // Seeking past the end of a file is no error, so a cut archive must be noticed here.
        if offset.checked_add(bytes).is_none_or(|end| end > archive.bytes) {
            return Err(archive.broken(format!("it ends inside its member `{path}`")));
        }
        members.push(Member { path, span: Span { archive: number, offset, bytes } });
    }
    match total {
        0 => Err(archive.broken("it has no members")),
        _ => Ok(()),
    }
}

/// WebDataset: what stands beside each image under the same key. `None` when nothing does.
fn shard_labels(
    archives: &[Archive],
    members: &[Member],
    images: &[&Member],
) -> Result<Option<Vec<RawLabel>>> {
    // The same key in two shards is two samples: they never share a label.
    let mut beside: HashMap<(usize, &str), &Member> = HashMap::new();
    for member in members {
        if let Some((key, "cls" | "json")) = sample(&member.path) {
            let known = beside.entry((member.span.archive, key)).or_insert(member);
            // `cls` is the label and nothing else.
            if member.path.ends_with(".cls") {
                *known = member;
            }
        }
    }
    if beside.is_empty() {
        return Ok(None);
    }
    let label = |image: &&Member| {
        let key = sample(&image.path).map(|(key, _)| (image.span.archive, key));
        let Some((member, archive)) = key
            .and_then(|key| beside.get(&key))
            .and_then(|member| Some((member, archives.get(member.span.archive)?)))
        else {
            return Ok(RawLabel::Unlabelled);
        };
        let bad = |found: String| Error::BadLabels {
            path: format!("{}/{}", archive.path.display(), member.path),
            line: 1,
            found,
            expected: "a class index, a synset, or JSON with a `label`".into(),
        };
        if member.span.bytes > MAX_LABEL {
            return Err(bad(format!("{} bytes", member.span.bytes)));
        }
        let mut bytes = vec![0; member.span.bytes as usize];
        archive.read_at(&mut bytes, member.span.offset).map_err(crate::fs::at("read", &archive.path))?;
        let text = String::from_utf8(bytes).map_err(|_| bad("bytes that are no UTF-8".into()))?;
        let text = match member.path.ends_with(".json") {
            false => text.trim().to_owned(),
            true => {
                let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
                match json.get("label").or_else(|| json.get("cls")) {
                    Some(serde_json::Value::String(name)) => name.clone(),
                    Some(serde_json::Value::Number(index)) => index.to_string(),
                    other => return Err(bad(format!("label {other:?}"))),
                }
            }
        };
        Ok(RawLabel::of_text(&text))
    };
    images.iter().map(label).collect::<Result<_>>().map(Some)
}

/// WebDataset's key and extension: the path up to the first point of its last part, and what follows.
fn sample(path: &str) -> Option<(&str, &str)> {
    let name = path.rfind('/').map_or(0, |at| at + 1);
    let point = name + path.get(name..)?.find('.')?;
    Some((path.get(..point)?, path.get(point + 1..)?))
}

fn folder_labels(place: &str, images: &[&Member]) -> Result<Vec<RawLabel>> {
    let folders: Option<Vec<&str>> = images.iter().map(|m| folder_of(&m.path)).collect();
    let Some(folders) = folders else {
        return Err(Error::NoLayout {
            place: place.to_owned(),
            found: "a tar of images without class folders, and nothing beside them that tells their classes"
                .into(),
        });
    };
    Ok(folders.into_iter().map(RawLabel::of_text).collect())
}

/// The folder that a member is in.
fn folder_of(path: &str) -> Option<&str> {
    path.rsplit('/').nth(1).filter(|folder| !folder.is_empty() && *folder != ".")
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
