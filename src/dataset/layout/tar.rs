//! Images in tar archives, indexed by their headers and then read in place: the official
//! `ILSVRC2012_img_val.tar`, WebDataset shards (`KEY.jpg` beside `KEY.cls` or `KEY.json`), class folders
//! that someone packed, and images with a table of labels beside the archive.

use std::collections::HashMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::{Archive, MemberLocation, Span, Spans};
use super::features::Features;
use super::folder::is_class_name;
use super::names::{LABEL_COLUMNS, Split, file_name, is_image, is_in_system};
use super::truth::Truth;
use super::{Found, Listing, folder, table};
use crate::dataset::error::{Error, Result};
use crate::dataset::label::{NameList, RawLabel, clean, validation_number};

/// Members of all archives together; ImageNet's training set has 1.3 million.
const MAX_MEMBERS: usize = 20_000_000;

/// The largest label member that is read.
const MAX_LABEL: u64 = 1 << 16;

/// Members of a sample that are its label, the surest first.
const LABEL_EXTENSIONS: [&str; 4] = ["cls", "cls.txt", "label", "json"];

/// A file in an archive, or a link to one.
struct Member {
    path: String,
    /// The archive's number.
    archive: usize,
    place: MemberLocation,
}

/// Reads archives. What says more of them may lie beside them, up to the folder above `top`.
pub(super) fn list(paths: &[PathBuf], place: String, top: &Path) -> Result<Listing> {
    let near = paths.first().and_then(|p| p.parent()).unwrap_or(Path::new("."));
    let mut archives = Vec::new();
    let mut members = Vec::new();
    for path in paths {
        let archive = Archive::open_tar(path)?;
        index(&archive, archives.len(), &mut members)?;
        archives.push(archive);
    }
    let mut images: Vec<&Member> = members.iter().filter(|m| is_image(Path::new(&m.path))).collect();
    if images.is_empty() {
        return Err(Error::Empty { place, layout: "tar" });
    }
    let mut notes: Vec<String> = archives.iter().filter_map(Archive::note).collect();
    let before = images.len();
    keep_validation(&mut images);
    if images.len() < before {
        notes.push(format!("`{place}`: {} images of other splits are left out", before - images.len()));
    }
    let mut absent = Vec::new();
    let numbered = images.iter().all(|m| validation_number(file_name(&m.path)).is_some());
    let (layout, labels) =
        if let Some((samples, labels)) = shard_labels(&archives, &members, &images, near, top)? {
            images = samples;
            ("WebDataset shards", labels)
        } else if images.iter().all(|m| folder_of(&m.path).is_some_and(is_class_name)) {
            ("class folders in a tar", folder_labels(&place, &images)?)
        } else if let Some(truth) = if numbered { Truth::near(near, top)? } else { None } {
            let labels = images.iter().map(|m| truth.label(file_name(&m.path))).collect::<Result<_>>()?;
            ("the official tar", labels)
        } else if let Some(path) = table::of_folder(&folder::visible(near)?) {
            let paths: Vec<&str> = images.iter().map(|m| m.path.as_str()).collect();
            let (labels, others, note) = table::Table::read(path, top)?.labels(&paths);
            (absent, notes) = (others, notes.into_iter().chain(note).collect());
            ("a tar and a table of labels", labels)
        } else if numbered {
            return Err(Truth::missing(&place));
        } else {
            ("class folders in a tar", folder_labels(&place, &images)?)
        };
    let mut found: Vec<Found> =
        images.iter().zip(labels).map(|(member, label)| Found { path: member.path.clone(), label }).collect();
    let mut places: Vec<MemberLocation> = images.iter().map(|m| m.place.clone()).collect();
    for (path, label) in absent {
        places.push(MemberLocation::Nowhere(path.clone(), format!("`{place}` has no such image")));
        found.push(Found { path, label });
    }
    let mut listing = Listing::new(layout, place, found, Spans { archives, places });
    listing.notes = notes;
    Ok(listing)
}

/// Where folders inside are of several splits, keeps the validation images, or those of the test split.
fn keep_validation(images: &mut Vec<&Member>) {
    let split = |m: &&Member| {
        let folder = m.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        folder.split('/').find_map(Split::of_folder)
    };
    let has = |wanted| images.iter().any(|m| split(m) == Some(wanted));
    let wanted = match (has(Split::Validation), has(Split::Test), has(Split::Train)) {
        (true, true, _) | (true, _, true) => Split::Validation,
        (false, true, true) => Split::Test,
        _ => return,
    };
    images.retain(|m| split(m) == Some(wanted));
}

/// Walks the headers of one archive.
fn index(archive: &Archive, number: usize, members: &mut Vec<Member>) -> Result<()> {
    let file = archive.file.try_clone().map_err(crate::fs::at("open", &archive.path))?;
    let mut reader = tar::Archive::new(BufReader::with_capacity(1 << 12, file));
    let broken = |e: std::io::Error| archive.broken(e.to_string());
    let (mut total, first) = (0, members.len());
    // Links, and what they are to.
    let mut links: Vec<(usize, String)> = Vec::new();
    for entry in reader.entries_with_seek().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        total += 1;
        if members.len() >= MAX_MEMBERS {
            return Err(archive.broken(format!("more than {MAX_MEMBERS} members")));
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if is_in_system(&path) {
            continue;
        }
        let kind = entry.header().entry_type();
        if kind.is_hard_link() || kind.is_symlink() {
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = String::from_utf8_lossy(&target).into_owned();
            let from =
                if kind.is_symlink() { path.rsplit_once('/').map_or("", |(folder, _)| folder) } else { "" };
            links.push((members.len(), resolved(from, &target)));
            let reason = format!("it is a link to `{target}`, which is not in the archive");
            let place = MemberLocation::Nowhere(format!("{}/{path}", archive.path.display()), reason);
            members.push(Member { path, archive: number, place });
            continue;
        }
        if !kind.is_file() && !kind.is_contiguous() {
            continue;
        }
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        // Seeking past the end of a file is no error, so a cut archive must be noticed here.
        if offset.checked_add(bytes).is_none_or(|end| end > archive.bytes) {
            return Err(archive.broken(format!("it ends inside its member `{path}`")));
        }
        let place = MemberLocation::Here(Span { archive: number, offset, bytes });
        members.push(Member { path, archive: number, place });
    }
    if total == 0 {
        return Err(archive.broken("it has no members"));
    }
    follow(members.get_mut(first..).unwrap_or_default(), first, &links);
    Ok(())
}

/// Gives links the bytes of what they are to; a link to a link is followed as long as that leads on.
fn follow(members: &mut [Member], first: usize, links: &[(usize, String)]) {
    /// Links that lead to links; more is a loop.
    const MAX_LINKS: usize = 8;
    if links.is_empty() {
        return;
    }
    let by_path: HashMap<String, usize> =
        members.iter().enumerate().map(|(at, m)| (resolved("", &m.path), at)).collect();
    for _ in 0..MAX_LINKS {
        for (link, target) in links {
            let target = by_path.get(target).and_then(|&at| members.get(at));
            if let Some(Member { place: place @ MemberLocation::Here(_), .. }) = target {
                let place = place.clone();
                if let Some(member) = members.get_mut(link - first) {
                    member.place = place;
                }
            }
        }
    }
}

/// A path inside an archive, from a folder on, without `.` and `..`.
fn resolved(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// WebDataset: what stands beside each image under the same key. `None` when nothing does.
fn shard_labels<'a>(
    archives: &[Archive],
    members: &'a [Member],
    images: &[&'a Member],
    near: &Path,
    top: &Path,
) -> Result<Option<(Vec<&'a Member>, Vec<RawLabel>)>> {
    // The same key in two shards is two samples: they never share a label.
    let mut beside: HashMap<(usize, &str), (usize, &Member)> = HashMap::new();
    for member in members {
        let rank = |extension: &str| LABEL_EXTENSIONS.iter().position(|e| *e == extension);
        if let Some((key, rank)) = sample(&member.path).and_then(|(key, e)| Some((key, rank(e)?))) {
            let known = beside.entry((member.archive, key)).or_insert((rank, member));
            if rank < known.0 {
                *known = (rank, member);
            }
        }
    }
    let has_label =
        |m: &&Member| sample(&m.path).is_some_and(|(key, _)| beside.contains_key(&(m.archive, key)));
    if !images.iter().any(has_label) {
        return Ok(None);
    }
    // `KEY.jpg` is the image; `KEY.mask.png` beside it is not another one.
    fn plain(member: &Member) -> Option<(&str, &str)> {
        sample(&member.path).filter(|(_, extension)| !extension.contains('.'))
    }
    let keys: std::collections::HashSet<(usize, &str)> =
        images.iter().filter_map(|m| Some((m.archive, plain(m)?.0))).collect();
    let is_image_of_sample = |m: &&&Member| {
        let key = sample(&m.path).map(|(key, _)| (m.archive, key));
        plain(m).is_some() || key.is_none_or(|key| !keys.contains(&key))
    };
    let samples: Vec<&Member> = images.iter().filter(is_image_of_sample).copied().collect();
    let features = Features::near(near, top)?;
    let names = features.label_names(&LABEL_COLUMNS);
    let label = |image: &&Member| {
        let key = sample(&image.path).map(|(key, _)| (image.archive, key));
        match key.and_then(|key| beside.get(&key)) {
            Some((_, member)) => label_of(archives, member, names),
            None => Ok(RawLabel::Missing("there is no `.cls` or `.json` beside it".into())),
        }
    };
    let labels = samples.iter().map(label).collect::<Result<_>>()?;
    Ok(Some((samples, labels)))
}

/// Reads a member that is a label.
fn label_of(archives: &[Archive], member: &Member, names: Option<&Arc<NameList>>) -> Result<RawLabel> {
    let (Some(archive), MemberLocation::Here(span)) = (archives.get(member.archive), &member.place) else {
        return Ok(RawLabel::Missing(format!("`{}` is a link to nothing", member.path)));
    };
    let bad = |found: String| Error::BadLabels {
        path: format!("{}/{}", archive.path.display(), member.path),
        line: 1,
        found,
        expected: "a class index, a synset, a class name, or JSON with a `label`".into(),
    };
    if span.bytes > MAX_LABEL {
        return Err(bad(format!("{} bytes", span.bytes)));
    }
    let mut bytes = vec![0; span.bytes as usize];
    archive.read_at(&mut bytes, span.offset).map_err(crate::fs::at("read", &archive.path))?;
    let text = String::from_utf8(bytes).map_err(|_| bad("bytes that are not UTF-8".into()))?;
    if !member.path.ends_with(".json") {
        return RawLabel::of_text_among(&text, names).map_err(bad);
    }
    let json: serde_json::Value = serde_json::from_str(clean(&text)).map_err(|e| bad(e.to_string()))?;
    let label = table::of_object(&json, names).map_err(&bad)?;
    label.map_or_else(|| Err(bad("no label".into())), Ok)
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
