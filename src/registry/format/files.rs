//! Which files a model-index may read, and reading them.
//!
//! In: the first file, then the references that files make to each other. Out: trees. A reference is a
//! relative path, resolved in the folder of the file that makes it; symlinks are resolved, and what lies
//! outside the first file's folder is refused, as are absolute paths, cycles, more than [`MAX_FILES`]
//! files and more than [`MAX_BYTES`] bytes. A file read twice counts twice, so that files which import each
//! other in a diamond cannot multiply.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::markdown;
use crate::registry::glob::Glob;
use crate::registry::tree::{
    self, Limits, Mapping, Node, Origin, Problem, ProblemKind, Problems, Value, View, same_field,
};

/// Files that one index may read.
const MAX_FILES: usize = 10_000;

/// Bytes that one index may read.
const MAX_BYTES: u64 = 64 << 20;

/// Values that one index may hold.
const MAX_NODES: usize = 2 << 20;

/// Files within each other.
const MAX_NESTING: usize = 64;

/// One file, read.
pub(super) struct File {
    /// What it holds; null where a Markdown page has no metadata.
    pub(super) root: Node,
    /// Whether it is a Markdown page, which then is its models' README.
    pub(super) markdown: bool,
}

/// The files of one index.
pub(super) struct Files {
    /// The resolved folder that all must lie in; none: no file may be read.
    root: Option<PathBuf>,
    /// Files being read, outermost first: resolved path and the name for messages.
    open: Vec<(PathBuf, PathBuf)>,
    files: usize,
    bytes: u64,
    nodes: usize,
}

impl Files {
    /// The files in the folder of `first` and below.
    pub(super) fn below(first: &Path) -> crate::fs::Result<Self> {
        let resolved = first.canonicalize().map_err(crate::fs::at("open", first))?;
        Ok(Files { root: resolved.parent().map(Path::to_owned), ..Files::none() })
    }

    /// No files at all.
    pub(super) fn none() -> Self {
        Files { root: None, open: Vec::new(), files: 0, bytes: 0, nodes: 0 }
    }

    /// Reads the first file and hands it on; `then` may read those it refers to.
    pub(super) fn first<T>(
        &mut self,
        path: &Path,
        problems: &mut Problems,
        then: impl FnOnce(&mut Self, File, &mut Problems) -> T,
    ) -> Option<T> {
        self.read(path, problems, then).map_err(|p| problems.push(*p)).ok()
    }

    /// Reads the bytes of the first file, which is no file on the disk.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8], problems: &mut Problems) -> Option<File> {
        self.parse(Path::new(name), bytes, problems).map_err(|p| problems.push(*p)).ok()
    }

    /// Reads the files that a reference means, in order of name, and hands each on.
    pub(super) fn each(
        &mut self,
        reference: &View<'_>,
        problems: &mut Problems,
        mut then: impl FnMut(&mut Self, &str, File, &mut Problems),
    ) {
        let Some(text) = reference.text() else { return };
        let here = |p: Box<Problem>| match p.line {
            // What is wrong with the reference itself is reported where it stands.
            0 if p.file.is_empty() => {
                let mut reported = Problem::here(reference, p.message).kind(p.kind);
                reported.severity = p.severity;
                reported
            }
            _ => *p,
        };
        let names = match self.expand(text) {
            Ok(names) => names,
            Err(problem) => return problems.push(here(problem)),
        };
        if names.is_empty() {
            let message = format!("no file matches `{text}`");
            problems.push(Problem::here(reference, message).warning().kind(ProblemKind::MissingFile));
        }
        for name in names {
            let read = self.inside(&name).and_then(|path| {
                self.read(&path, problems, |files, file, problems| then(files, &name, file, problems))
            });
            if let Err(problem) = read {
                problems.push(here(problem));
            }
        }
    }

    /// Whether a path names a file, from the folder of the file that says so or from the root, as OpenMMLab's
    /// libraries write theirs; `None` when no file may be looked at.
    pub(super) fn is_file(&self, name: &str) -> Option<bool> {
        let root = self.root.as_ref()?;
        let from_root = || {
            let path = root.join(name).canonicalize();
            path.is_ok_and(|path| path.starts_with(root) && path.is_file())
        };
        Some(self.inside(name).is_ok_and(|path| path.is_file()) || from_root())
    }

    /// The folder of the file being read.
    fn folder(&self) -> &Path {
        let folder = self.open.last().and_then(|(_, name)| name.parent());
        folder.unwrap_or(Path::new(""))
    }

    /// The path that a reference means, if it is inside the root.
    fn inside(&self, name: &str) -> Result<PathBuf, Box<Problem>> {
        let refuse = |why: &str| Box::new(Problem::of("", format!("`{name}` {why}")));
        let Some(root) = &self.root else {
            return Err(refuse("is another file, and only this one is read"));
        };
        let relative = Path::new(name);
        if relative.components().any(|c| matches!(c, Component::RootDir | Component::Prefix(_))) {
            return Err(refuse("is an absolute path"));
        }
        let path = self.folder().join(relative);
        match path.canonicalize() {
            Ok(resolved) if resolved.starts_with(root) => Ok(path),
            Ok(_) => Err(refuse("is outside the folder of the first file")),
            Err(e) => {
                let problem =
                    Problem::of("", format!("cannot read `{name}`: {e}")).kind(ProblemKind::MissingFile);
                // The rest is of use without it, unless it was an attempt to look elsewhere.
                Err(Box::new(if leaves(relative, self.folder(), root) { problem } else { problem.warning() }))
            }
        }
    }

    fn read<T>(
        &mut self,
        path: &Path,
        problems: &mut Problems,
        then: impl FnOnce(&mut Self, File, &mut Problems) -> T,
    ) -> Result<T, Box<Problem>> {
        let refuse = |message: String| Box::new(Problem::of("", message));
        let name = path.display();
        let resolved = path.canonicalize().map_err(|e| refuse(format!("cannot read `{name}`: {e}")))?;
        if let Some(first) = self.open.iter().position(|(open, _)| *open == resolved) {
            let cycle = self.open.iter().skip(first).map(|(_, name)| name.display().to_string());
            let cycle: Vec<_> = cycle.chain([name.to_string()]).map(|n| format!("`{n}`")).collect();
            return Err(refuse(format!("files that import each other: {}", cycle.join(" → "))));
        }
        if self.open.len() >= MAX_NESTING {
            return Err(refuse(format!("files import each other more than {MAX_NESTING} deep")));
        }
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(refuse(format!("more than {MAX_FILES} files")));
        }
        let bytes = crate::fs::read(path, MAX_BYTES).map_err(|e| refuse(e.to_string()))?;
        self.open.push((resolved, path.to_owned()));
        let result = self.parse(path, &bytes, problems).map(|file| then(self, file, problems));
        self.open.pop();
        result
    }

    fn parse(&mut self, path: &Path, bytes: &[u8], problems: &mut Problems) -> Result<File, Box<Problem>> {
        let name = path.display().to_string();
        let refuse = |message: String| Box::new(Problem::of(&name, message));
        self.bytes += bytes.len() as u64;
        if self.bytes > MAX_BYTES {
            return Err(refuse(format!("more than {MAX_BYTES} bytes in all files together")));
        }
        let limits = Limits { nodes: MAX_NODES.saturating_sub(self.nodes), ..Limits::default() };
        let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let mut take = |result: Result<(Vec<Node>, Problems), tree::Malformed>| match result {
            Ok((documents, warnings)) => {
                problems.extend(warnings);
                Ok(documents)
            }
            // A reader stops at the first thing that is wrong.
            Err(malformed) => match malformed.problems.iter().next() {
                Some(problem) => Err(Box::new(problem.clone())),
                None => Ok(Vec::new()),
            },
        };
        let origin = Origin::file(&name);
        let documents = match kind {
            "yml" | "yaml" => take(tree::yaml(bytes, origin, &limits))?,
            "json" => take(tree::json(bytes, origin, &limits).map(|(node, p)| (vec![node], p)))?,
            "md" | "mdx" => {
                let page = std::str::from_utf8(bytes)
                    .map_err(|e| refuse(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
                take(page_metadata(page, &origin.file, &limits))?
            }
            _ => {
                let message = "no YAML (`.yml`, `.yaml`), JSON (`.json`) or Markdown (`.md`, `.mdx`) file";
                return Err(refuse(message.into()));
            }
        };
        self.nodes += documents.iter().map(Node::count).sum::<usize>();
        let markdown = matches!(kind, "md" | "mdx");
        let root = joined(documents, &Arc::from(name.as_str()));
        Ok(File { root, markdown })
    }

    /// The files that a reference means: itself, or all that match when it has `*` or `?`; `[…]` is a
    /// class of characters then. Sorted. As in Python's `glob`, a `*` stays within one folder and does not
    /// match a leading dot.
    fn expand(&self, pattern: &str) -> Result<Vec<String>, Box<Problem>> {
        if !pattern.contains(['*', '?']) {
            return Ok(vec![pattern.to_owned()]);
        }
        let refuse = |why: String| Box::new(Problem::of("", why));
        if Path::new(pattern).is_absolute() {
            return Err(refuse(format!("`{pattern}` is an absolute path")));
        }
        if self.root.is_none() {
            return Err(refuse(format!("`{pattern}` names other files, and only this one is read")));
        }
        let parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty()).collect();
        let mut found = vec![String::new()];
        for (i, part) in parts.iter().enumerate() {
            let mut next = Vec::new();
            for head in &found {
                let join =
                    |name: &str| if head.is_empty() { name.to_owned() } else { format!("{head}/{name}") };
                if !part.contains(['*', '?', '[']) {
                    next.push(join(part));
                    continue;
                }
                let glob = Glob::new(part).map_err(|why| refuse(format!("`{pattern}`: {why}")))?;
                let folder = if head.is_empty() { "." } else { head.as_str() };
                // A folder outside the root is not even listed.
                let Ok(path) = self.inside(folder) else { continue };
                let Ok(entries) = crate::fs::list(&path) else { continue };
                for entry in entries {
                    let Some(name) = entry.file_name().and_then(|n| n.to_str()) else { continue };
                    let hidden = name.starts_with('.') && !part.starts_with('.');
                    let last = i + 1 == parts.len();
                    if !hidden && glob.matches(name) && (last || entry.is_dir()) {
                        next.push(join(name));
                    }
                }
                if next.len() > MAX_FILES {
                    return Err(refuse(format!("`{pattern}` matches more than {MAX_FILES} files")));
                }
            }
            found = next;
        }
        found.retain(|name| self.folder().join(name).exists());
        found.sort();
        Ok(found)
    }
}

/// Whether a path that does not exist would lie outside the root.
fn leaves(relative: &Path, folder: &Path, root: &Path) -> bool {
    let Ok(folder) = (if folder.as_os_str().is_empty() { Path::new(".") } else { folder }).canonicalize()
    else {
        return true;
    };
    let mut path = folder;
    for part in relative.components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            _ => {}
        }
        if !path.starts_with(root) {
            return true;
        }
    }
    false
}

/// The metadata of a Markdown page as Python's reader finds it: `model-index` in the front matter, else
/// every comment that looks like a model-index. (zoo looks at the comments of a page with other front
/// matter too, which Python does not.)
fn page_metadata(
    page: &str,
    file: &Arc<str>,
    limits: &Limits,
) -> Result<(Vec<Node>, Problems), tree::Malformed> {
    if let Some(block) = markdown::front_matter(page, file) {
        let (documents, problems) = tree::yaml(block.text.as_bytes(), block.origin, limits)?;
        if let Some(index) = documents.first().and_then(|d| d.field("model-index")) {
            return Ok((vec![index.clone()], problems));
        }
    }
    let mut documents = Vec::new();
    let mut problems = Problems::new();
    for block in markdown::comments(page, file) {
        // Most comments are no metadata; one that says it is must parse.
        let claims = block.text.trim_start().starts_with("Type: model-index");
        match tree::yaml(block.text.as_bytes(), block.origin, limits) {
            Ok((mut parsed, found)) if parsed.len() == 1 && is_metadata(parsed.first()) => {
                documents.append(&mut parsed);
                problems.extend(found);
            }
            Ok(_) => {}
            Err(malformed) if claims => return Err(malformed),
            Err(_) => {}
        }
    }
    Ok((documents, problems))
}

fn is_metadata(node: Option<&Node>) -> bool {
    let Some(node) = node.filter(|n| n.mapping().is_some()) else { return false };
    let kind = node.field("Type").and_then(Node::text).map(str::to_lowercase);
    matches!(kind.as_deref(), Some("model-index" | "modelindex"))
        || ["Models", "Collections", "Name"].iter().any(|f| node.field(f).is_some())
}

/// Several documents of one file as one: lists are joined, and single values that differ become lists.
fn joined(mut documents: Vec<Node>, file: &Arc<str>) -> Node {
    documents.retain(|d| !d.is_null());
    let mut documents = documents.into_iter();
    let Some(mut whole) = documents.next() else {
        return Node { file: file.clone(), ..Node::plain("null") };
    };
    for document in documents {
        match (&mut whole.value, document.value) {
            (Value::Mapping(all), Value::Mapping(more)) => merge(all, more),
            (Value::Sequence(all), Value::Sequence(more)) => all.extend(more),
            _ => {}
        }
    }
    whole
}

fn merge(all: &mut Mapping, more: Mapping) {
    for (key, value) in more.iter() {
        let same = |(k, _): &&(tree::Key, Node)| same_field(k.text(), key.text());
        let Some(name) = all.pairs_mut().iter().find(same).map(|(k, _)| k.text().to_owned()) else {
            all.set(key.text(), value.clone());
            continue;
        };
        if let Some(old) = all.get(&name).filter(|old| !same_field(&name, "Type") || old.text().is_none()) {
            let items = old.one_or_many().iter().chain(value.one_or_many()).cloned().collect();
            let joined = Node { value: Value::Sequence(items), ..old.clone() };
            all.set(&name, joined);
        }
    }
}
