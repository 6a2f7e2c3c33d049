//! Addresses, hashes, names and sizes of weights files.

use std::collections::{BTreeMap, HashMap};

use super::context::{LintContext, Model};
use super::rule::Sink;
use crate::hash::FileName;
use crate::registry::{Entry, Source};

/// Bytes a parameter of float32 weights, buffers and container included. On 256 of the 261 pages it is
/// between 4.00 and 4.14.
const FLOAT32: std::ops::RangeInclusive<f64> = 3.9..=4.3;
/// The same of half precision.
const FLOAT16: std::ops::RangeInclusive<f64> = 1.95..=2.15;

/// Whoever says that a file is its weights.
#[derive(Clone, Copy)]
struct User<'a> {
    name: &'a str,
    arch: Option<&'a str>,
    params: Option<u64>,
    bytes: Option<u64>,
    /// Its place among the context's models; none: it is a built-in entry beside them.
    at: Option<usize>,
}

impl User<'_> {
    /// Whether the size of the file agrees with the parameters of the architecture.
    fn fits(&self) -> Option<bool> {
        Some(fits(self.bytes? as f64 / self.params.filter(|p| *p > 0)? as f64))
    }
}

fn fits(ratio: f64) -> bool {
    FLOAT32.contains(&ratio) || FLOAT16.contains(&ratio)
}

/// Who says that one file is theirs: a few of each architecture, so that thousands cost no more.
#[derive(Default)]
struct Group<'a> {
    users: usize,
    by_arch: BTreeMap<Option<&'a str>, Vec<User<'a>>>,
}

/// So many names are shown, and so many users of a file and architecture kept beyond the one in question.
const MAX_SHOWN: usize = 5;

impl<'a> Group<'a> {
    fn add(&mut self, user: User<'a>) {
        self.users += 1;
        let kept = self.by_arch.entry(user.arch).or_default();
        // One more than shown says that there are more; another may be the model itself.
        if kept.len() < MAX_SHOWN + 2 {
            kept.push(user);
        }
    }

    /// Those of another architecture, or all others. Of an architecture that nobody knows nothing can be
    /// said but that the file is the same.
    fn others(&self, own: &User<'a>, other_arch: bool) -> Vec<User<'a>> {
        let another = |u: &&User<'_>| u.at != own.at && u.name != own.name;
        let of = |arch: Option<&'a str>| self.by_arch.get(&arch).into_iter().flatten();
        let all = self.by_arch.iter();
        match (own.arch, other_arch) {
            (None, true) => Vec::new(),
            (None, false) => {
                all.flat_map(|(_, users)| users).filter(another).take(MAX_SHOWN + 1).copied().collect()
            }
            (Some(own), true) => {
                let others =
                    all.filter(|(arch, _)| arch.is_some_and(|a| a != own)).flat_map(|(_, users)| users);
                others.filter(another).take(MAX_SHOWN + 1).copied().collect()
            }
            (arch, false) => of(arch).chain(of(None)).filter(another).take(MAX_SHOWN + 1).copied().collect(),
        }
    }
}

fn user<'a>(model: &'a Model<'_>, context: &LintContext<'_>) -> User<'a> {
    User {
        name: model.name,
        arch: model.facts.arch.as_deref(),
        params: model.params(context),
        bytes: model.entry.file_size.map(|n| n.0),
        at: Some(model.at),
    }
}

fn digits(entry: &Entry) -> Option<String> {
    entry.hash_prefix().map(|prefix| prefix.as_str().chars().take(8).collect())
}

/// The first source, where it is the address of a file: `-` and the like are the same text, not the same file.
fn address(entry: &Entry) -> Option<&Source> {
    entry.sources.first().filter(|s| s.is_address() && !s.file_name().is_empty())
}

/// Everybody who names a file, by address and by the digits of its hash.
fn groups<'a>(context: &'a LintContext<'_>) -> HashMap<String, Group<'a>> {
    let mut groups: HashMap<String, Group<'a>> = HashMap::new();
    let mut add = |entry: &Entry, user: User<'a>| {
        let Some(source) = address(entry) else { return };
        for key in [Some(source.0.clone()), digits(entry)].into_iter().flatten() {
            groups.entry(key).or_default().add(user);
        }
    };
    for model in &context.models {
        add(&model.entry, user(model, context));
    }
    for entry in &context.beside {
        let (arch, params) = (entry.zoo.arch.as_deref(), entry.zoo.params.map(|n| n.0));
        let bytes = entry.file_size.map(|n| n.0);
        add(entry, User { name: &entry.name, arch, params, bytes, at: None });
    }
    groups
}

/// Calls `tell` for each model whose file others name too, with those of another architecture, or with all
/// of the same one.
fn shared(context: &LintContext<'_>, other_arch: bool, mut tell: impl FnMut(&Model<'_>, &[User<'_>], &str)) {
    let groups = groups(context);
    for model in &context.models {
        let Some(source) = address(&model.entry) else { continue };
        let Some(by_address) = groups.get(&source.0) else { continue };
        let by_hash = digits(&model.entry).and_then(|d| groups.get(&d)).unwrap_or(by_address);
        let (group, what) = match by_hash.users > by_address.users {
            true => (by_hash, "hash"),
            false => (by_address, "file"),
        };
        let own = user(model, context);
        let others = group.others(&own, other_arch);
        // Only one architecture can be right, and the size of the file often tells which.
        let rightful = own.fits() == Some(true) && others.iter().all(|u| u.fits() == Some(false));
        let is_reported = if other_arch { !rightful } else { true };
        if is_reported && !others.is_empty() {
            tell(model, &others, what);
        }
    }
}

fn names(users: &[User<'_>]) -> String {
    let names: Vec<_> = users.iter().take(MAX_SHOWN).map(|u| format!("`{}`", u.name)).collect();
    let more = if users.len() > MAX_SHOWN { " and others" } else { "" };
    format!("{}{more}", names.join(", "))
}

pub(super) fn of_another(context: &LintContext<'_>, sink: &mut Sink) {
    shared(context, true, |model, others, what| {
        let Some(view) = model.weights() else { return };
        let message = format!("the same {what} as {}, of another architecture", names(others));
        let arch = model.facts.arch.as_deref().unwrap_or_default();
        let found = view.text().unwrap_or_default();
        sink.at(&view, model, message).expected(found, format!("weights of `{arch}`"));
    });
}

pub(super) fn shared_by_design(context: &LintContext<'_>, sink: &mut Sink) {
    shared(context, false, |model, others, what| {
        let Some(view) = model.weights() else { return };
        let found = view.text().unwrap_or_default();
        sink.at(&view, model, format!("the same {what} as {}", names(others))).found(found);
    });
}

pub(super) fn no_hash(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    let Some(view) = model.weights() else { return };
    if model.entry.hash_prefix().is_none() && model.facts.sha256.is_none() {
        // What is not the address of a file is reported by another rule.
        let Some(name) = address(&model.entry).map(Source::file_name) else { return };
        let expected =
            "`-` or `_` and the first hex digits of the SHA-256 before the extension, or `zoo.sha256`";
        let message = match inner_digits(name) {
            // `net-0123abcd_v2.pth` was changed after it was named, and may have been saved again.
            Some(digits) => {
                format!("`{digits}` is followed by more of the name and is not taken for the file's hash")
            }
            None => "nothing says which bytes this file must have".to_owned(),
        };
        sink.at(&view, model, message).expected(name, expected);
    }
}

/// Eight or nine hex digits within a name that are a number in no other way.
fn inner_digits(name: &str) -> Option<&str> {
    let mut words = name.split(['-', '_', '.']);
    words.find(|word| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let is_hex = word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        matches!(word.len(), 8 | 9) && is_hex && digits > 0 && digits < word.len()
    })
}

pub(super) fn plain_http(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    let Some(view) = model.weights() else { return };
    let Some(address) = view.text().filter(|t| t.get(..7).is_some_and(|h| h.eq_ignore_ascii_case("http://")))
    else {
        return;
    };
    if model.facts.sha256.is_none() {
        let message = "anybody on the way can put another file in its place, and no full hash would tell";
        sink.at(&view, model, message).expected(address, "`https:`, or `zoo.sha256`");
    }
}

pub(super) fn no_address(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    let views = model.view.field("Weights").map(|w| w.one_or_many()).unwrap_or_default();
    for view in views {
        let Some(text) = view.text() else { continue };
        let expected = "an address such as `https://example.org/resnet50-0676ba61.pth`";
        let source = Source(text.to_owned());
        let message = match (source.is_address(), source.file_name().is_empty()) {
            (false, _) => "nothing can be fetched from there",
            (true, true) => "the address of a folder: it does not say which file",
            (true, false) => continue,
        };
        sink.at(&view, model, message).expected(text, expected);
    }
}

pub(super) fn bytes_per_parameter(model: &Model<'_>, context: &LintContext<'_>, sink: &mut Sink) {
    let Some(view) = model.metadata("File Size") else { return };
    let Some((bytes, params)) =
        model.entry.file_size.map(|n| n.0).zip(model.params(context).filter(|p| *p > 0))
    else {
        return;
    };
    let ratio = bytes as f64 / params as f64;
    if !fits(ratio) {
        let message = format!("{ratio:.2} bytes for each of the architecture's {params} parameters");
        let expected = format!(
            "{} to {} (float32) or {} to {} (half precision)",
            FLOAT32.start(),
            FLOAT32.end(),
            FLOAT16.start(),
            FLOAT16.end()
        );
        sink.at(&view, model, message).expected(bytes, expected);
    }
}

/// The words of a name with what tells variants apart least left off: a letter behind digits (`101e`).
fn words(name: &str) -> Vec<String> {
    let lower = name.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    words
        .map(|word| match word.strip_suffix(|c: char| c.is_ascii_alphabetic()) {
            Some(rest) if rest.ends_with(|c: char| c.is_ascii_digit()) => rest.to_owned(),
            _ => word.to_owned(),
        })
        .collect()
}

/// A file whose name begins with another model's, and not with what this one and it have in common.
pub(super) fn names_another(context: &LintContext<'_>, sink: &mut Sink) {
    let mut known: HashMap<Vec<String>, (&str, Option<&str>)> = HashMap::new();
    let own = context.models.iter().map(|m| (m.name, m.facts.arch.as_deref()));
    let beside = context.beside.iter().map(|e| (e.name.as_str(), e.zoo.arch.as_deref()));
    for (name, arch) in own.chain(beside) {
        known.entry(words(name)).or_insert((name, arch));
    }
    for model in &context.models {
        let (Some(view), Some(source)) = (model.weights(), model.entry.sources.first()) else { continue };
        let Some(arch) = model.facts.arch.as_deref() else { continue };
        let file = source.file_name();
        let stem = words(FileName::parse(file).name);
        let longest = (1..=stem.len().min(12)).rev().find_map(|n| known.get(stem.get(..n)?));
        let Some((name, Some(other))) = longest.copied() else { continue };
        let (own, theirs) = (words(model.name), words(name));
        // `legacy_senet154` and `senet154`, `ecaresnet50d_pruned` and `ecaresnet50d`: one name inside the other.
        let related = own.starts_with(&theirs) || own.ends_with(&theirs) || words(arch).starts_with(&theirs);
        if other != arch && !related && !stem.starts_with(&own) {
            let message = format!("the file's name is that of `{name}`, of the architecture `{other}`");
            sink.at(&view, model, message).expected(file, format!("a file of `{arch}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_letter_behind_digits_does_not_count() {
        assert_eq!(words("resnest101e"), words("resnest101"));
        assert_eq!(words("seresnext26t_32x4d"), ["seresnext26", "32x4"]);
        assert_ne!(words("tresnet_l_448"), words("tresnet_xl_448"));
    }
}
