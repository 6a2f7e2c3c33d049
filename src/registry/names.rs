//! Which entry a name means. Names are forgiving: case, `-` for `_`, a `timm/` in front, timm's newer
//! `NAME.TAG` of the same file, `COLLECTION/NAME`; what is not found gets 'did you mean'. Where several may be meant, a
//! collection's name and a pattern of `*`, `?` and `[…]` are names too.

use super::entry::Entry;
use super::error::{Error, Result};
use super::query::Pattern;

/// How many near names an error offers.
const MAX_NEAR: usize = 3;

/// Lower case, with `-`, `_` and spaces as one sign.
fn folded(name: &str) -> String {
    name.chars().map(|c| if matches!(c, '-' | ' ') { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// The only entry that `name` means; `NAME#2` is the second of those that `NAME` means.
pub(super) fn resolve<'a>(entries: &'a [Entry], name: &str) -> Result<&'a Entry> {
    let numbered = || {
        let (rest, number) = name.rsplit_once('#')?;
        Some((rest, number.parse::<usize>().ok()?.checked_sub(1)?))
    };
    if !entries.iter().any(|e| e.name == name)
        && let Some((rest, at)) = numbered()
        && let Ok(found) = meant(entries, rest)
    {
        let count = found.len();
        return found.into_iter().nth(at).ok_or_else(|| {
            let near = (1..=count.min(MAX_NEAR)).map(|n| format!("{rest}#{n}")).collect();
            Error::Unknown { what: "model", name: name.to_owned(), near }
        });
    }
    let found = meant(entries, name)?;
    match found.as_slice() {
        [one] => Ok(one),
        many => {
            let candidates = many.iter().map(|e| qualified(e, many)).collect();
            Err(Error::Ambiguous { name: name.to_owned(), candidates })
        }
    }
}

/// The entries that `wanted` means: a name's one, those of a collection, or those whose name, or `COLLECTION/NAME`, matches
/// a pattern. In the registry's order.
pub(super) fn select<'a>(entries: &'a [Entry], wanted: &str) -> Result<Vec<&'a Entry>> {
    let unknown = match resolve(entries, wanted) {
        Ok(one) => return Ok(vec![one]),
        Err(Error::Collection { .. }) => {
            return Ok(of_collection(entries, wanted.strip_prefix("timm/").unwrap_or(wanted)).collect());
        }
        Err(error @ Error::Unknown { .. }) if wanted.contains(['*', '?', '[']) => error,
        Err(error) => return Err(error),
    };
    let bare = wanted.strip_prefix("timm/").unwrap_or(wanted);
    let pattern = bare.parse::<Pattern>().map_err(|reason| Error::Pattern { reason })?;
    // A `*` matches a `/` too: only where the pattern itself has one, the collection is asked about.
    let name = |e: &Entry| match (bare.contains('/'), &e.collection) {
        (true, Some(collection)) => format!("{collection}/{}", e.name),
        _ => e.name.clone(),
    };
    let found: Vec<_> = entries.iter().filter(|e| pattern.matches(&name(e))).collect();
    if found.is_empty() { Err(unknown) } else { Ok(found) }
}

/// All entries that `name` means by the first rule that finds some.
fn meant<'a>(entries: &'a [Entry], name: &str) -> Result<Vec<&'a Entry>> {
    let bare = name.strip_prefix("timm/").unwrap_or(name);
    let wanted = folded(bare);
    let exact = |e: &Entry| e.name == bare;
    let alike = |e: &Entry| folded(&e.name) == wanted;
    let tagged = |e: &Entry| e.zoo.tag.as_deref().is_some_and(|t| folded(t) == wanted);
    let in_collection = |e: &Entry| {
        let of = |c: &String| wanted.strip_prefix(&folded(c)).and_then(|r| r.strip_prefix('/'));
        e.collection.as_ref().and_then(of) == Some(&folded(&e.name))
    };
    let rules: [&dyn Fn(&Entry) -> bool; 4] = [&exact, &alike, &in_collection, &tagged];
    for rule in rules {
        let found: Vec<_> = entries.iter().filter(|e| rule(e)).collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let members: Vec<_> = of_collection(entries, bare).map(|e| e.name.clone()).collect();
    if !members.is_empty() {
        return Err(Error::Collection { name: name.to_owned(), models: members });
    }
    let names = entries.iter().map(|e| e.name.as_str());
    Err(Error::Unknown { what: "model", name: name.to_owned(), near: nearest(bare, names) })
}

/// The entries of the collection that `name` means, in whatever case and with whatever signs between words.
pub(super) fn of_collection<'a>(entries: &'a [Entry], name: &str) -> impl Iterator<Item = &'a Entry> {
    let wanted = folded(name);
    entries.iter().filter(move |e| e.collection.as_deref().is_some_and(|c| folded(c) == wanted))
}

/// A name that means just this entry among others: the bare one where it is enough, else with its collection, else
/// with its number.
fn qualified(entry: &Entry, among: &[&Entry]) -> String {
    let same = |e: &&&Entry| e.name == entry.name;
    if among.iter().filter(same).count() < 2 {
        return entry.name.clone();
    }
    let alike = |e: &&&Entry| same(e) && e.collection == entry.collection;
    let qualified = match &entry.collection {
        Some(collection) => format!("{collection}/{}", entry.name),
        None => entry.name.clone(),
    };
    // Without a collection the bare name means all of them, and the number counts all.
    let counted: Vec<_> = match &entry.collection {
        Some(_) => among.iter().filter(alike).collect(),
        None => among.iter().filter(same).collect(),
    };
    if entry.collection.is_some() && counted.len() < 2 {
        return qualified;
    }
    let number = counted.iter().position(|e| std::ptr::eq(**e, entry)).map_or(0, |at| at + 1);
    format!("{qualified}#{number}")
}

/// The names most like `wanted`, nearest first; none where nothing is like it.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = folded(wanted);
    // A part of a name is more like it than a misspelling of the same length.
    let score = |name: &str| {
        let name = folded(name);
        let part = if !wanted.is_empty() && name.contains(&wanted) { 1.0 } else { 0.0 };
        part + strsim::normalized_damerau_levenshtein(&wanted, &name)
    };
    let mut scored: Vec<_> = names.map(|n| (score(n), n)).filter(|(s, _)| *s >= 0.6).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, name)| *name);
    scored.into_iter().take(MAX_NEAR).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Registry;
    use super::*;

    fn name_of(asked: &str) -> Result<String> {
        Registry::builtin().unwrap().resolve(asked).map(|e| e.name.clone())
    }

    #[test]
    fn names_are_forgiving() {
        for asked in [
            "tf_efficientnet_b7_ns",
            "TF_EfficientNet-B7-NS",
            "timm/tf_efficientnet_b7_ns",
            "tf_efficientnet_b7.ns_jft_in1k",
            "timm/tf_efficientnet_b7.ns_jft_in1k",
            "Noisy Student/tf_efficientnet_b7_ns",
            "noisy-student/tf_efficientnet_b7_ns",
        ] {
            assert_eq!(name_of(asked).unwrap(), "tf_efficientnet_b7_ns", "{asked}");
        }
    }

    #[test]
    fn several_are_meant_by_patterns_and_collections() {
        let registry = Registry::builtin().unwrap();
        let names = |wanted: &str| {
            registry.select(wanted).map(|all| all.iter().map(|e| e.name.as_str()).collect::<Vec<_>>())
        };
        assert_eq!(names("tf_efficientnet_b0_ns").unwrap(), ["tf_efficientnet_b0_ns"]);
        assert_eq!(
            names("tf_efficientnet_b[01]_ns").unwrap(),
            ["tf_efficientnet_b0_ns", "tf_efficientnet_b1_ns"]
        );
        assert_eq!(names("TF_efficientnet_*_NS").unwrap().len(), 9);
        assert_eq!(names("noisy-student").unwrap().len(), 9);
        assert_eq!(names("Noisy Student/*_b0_*").unwrap(), ["tf_efficientnet_b0_ns"]);
        assert_eq!(names("*").unwrap().len(), registry.models().len());
        assert_eq!(names("n*").unwrap(), ["nasnetalarge"], "and not those of Noisy Student");
        assert!(matches!(names("nothing_*"), Err(Error::Unknown { .. })));
        assert!(matches!(names("[z-a]*"), Err(Error::Pattern { .. })));
        // What has no sign of a pattern is a whole name.
        assert!(matches!(names("resnet1"), Err(Error::Unknown { .. })));
    }

    #[test]
    fn a_typo_gets_the_nearest_names() {
        let error = name_of("tf_eficientnet_b7_ns").unwrap_err();
        let Error::Unknown { near, .. } = &error else { panic!("{error}") };
        assert_eq!(near[0], "tf_efficientnet_b7_ns");
        let Err(Error::Unknown { near, .. }) = name_of("zzz") else { panic!() };
        assert!(near.is_empty());
        let error = name_of("noisy-student").unwrap_err();
        let Error::Collection { models, .. } = &error else { panic!("{error}") };
        assert!(models.len() == 9 && models[0] == "tf_efficientnet_b0_ns", "{models:?}");
    }
}
