//! From what a layout says about an image's class to the index of a model's class.
//!
//! In: a model's labels, and [`RawLabel`]s. Out: class indices, or why there is none. Called while a dataset is put
//! together. Labels are matched by name: a WordNet id anywhere in the text, else the class's whole text, else some of
//! its synonyms. Positions count only where nothing names them, or where the names around them prove the order.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::{Error, Result};
use super::label::{NameList, RawLabel, clean, is_synset, synset_in, whole_number};
use crate::registry::labels;

/// Names that a message lists of those that a label could mean.
const MAX_NEAR: usize = 3;

/// How alike two names must be for one to be suggested for the other (Jaro–Winkler).
const MIN_LIKENESS: f64 = 0.85;

/// The classes that a dataset's labels may mean, by index.
#[derive(Clone, Debug)]
pub struct Classes {
    /// How messages call them.
    title: String,
    /// What each is called.
    texts: Vec<String>,
    /// Their WordNet ids, where they have some.
    ids: Vec<Option<String>>,
    by_id: HashMap<String, usize>,
    /// By the whole text, in its normal form.
    by_text: HashMap<String, Vec<usize>>,
    /// By each of the text's synonyms.
    by_synonym: HashMap<String, Vec<usize>>,
}

/// Why a name is no class.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NoMatch {
    Unknown,
    /// These classes have it.
    Ambiguous(Vec<usize>),
}

type Match = std::result::Result<usize, NoMatch>;

impl Classes {
    /// ImageNet's thousand.
    pub fn imagenet() -> Self {
        let classes = labels::imagenet().iter().map(|l| (Some(l.wnid.to_owned()), l.words.to_owned()));
        Classes::new("ImageNet's thousand classes", classes)
    }

    /// A model's own labels, in the order of their index: `tench`, `tench, Tinca tinca`, `n01440764`, or an id and
    /// words together.
    pub fn named(names: &[String]) -> Self {
        let class = |name: &String| {
            let id = synset_in(name);
            let text = id.map_or_else(|| name.clone(), |id| without(name, id));
            (id.map(str::to_owned), text)
        };
        Classes::new("the model's classes", names.iter().map(class))
    }

    /// Classes by WordNet id, where they have one, and text: synonyms with commas between them. `title` is how messages
    /// call them.
    pub fn new(title: &str, classes: impl IntoIterator<Item = (Option<String>, String)>) -> Self {
        let (ids, texts): (Vec<_>, Vec<_>) = classes.into_iter().unzip();
        let mut by_id = HashMap::new();
        for (index, id) in ids.iter().enumerate() {
            if let Some(id) = id {
                by_id.entry(id.clone()).or_insert(index);
            }
        }
        let (mut by_text, mut by_synonym): (HashMap<_, Vec<_>>, HashMap<_, Vec<_>>) = Default::default();
        for (index, text) in texts.iter().enumerate() {
            let whole = normal(text);
            if !whole.is_empty() {
                by_text.entry(whole).or_default().push(index);
            }
            for synonym in synonyms(text) {
                let indices = by_synonym.entry(synonym).or_default();
                if indices.last() != Some(&index) {
                    indices.push(index);
                }
            }
        }
        Classes { title: title.to_owned(), texts, ids, by_id, by_text, by_synonym }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// What an id calls a class: its WordNet id, else its index.
    pub fn id_name(&self, index: usize) -> String {
        self.ids.get(index).cloned().flatten().unwrap_or_else(|| index.to_string())
    }

    /// For messages: the index and what the class is called.
    fn describe(&self, index: usize) -> String {
        let text = self.texts.get(index).map_or("", String::as_str);
        match self.ids.get(index).and_then(Option::as_deref) {
            Some(id) => format!("`{id}` ({text})"),
            None => format!("`{text}`"),
        }
    }

    /// The class that a text names.
    fn find(&self, text: &str) -> Match {
        let text = clean(text);
        let whole = normal(text);
        // A class may be called `7`, as those of digits are.
        let exact = self.by_text.get(&whole).map(Vec::as_slice).unwrap_or_default();
        if let Some(number) = whole_number(text)
            && exact.is_empty()
        {
            let index = usize::try_from(number).ok().filter(|&i| i < self.len());
            return index.ok_or(NoMatch::Unknown);
        }
        if let Some(id) = synset_in(text) {
            if let Some(&index) = self.by_id.get(id) {
                return Ok(index);
            }
            // Classes without ids: what WordNet calls it, or what stands beside the id.
            let words = labels::index_of(id).and_then(|index| labels::imagenet().get(index)).map(|l| l.words);
            return match words {
                _ if !self.by_id.is_empty() => Err(NoMatch::Unknown),
                Some(words) => self.by_words(words),
                None => self.by_words(&without(text, id)),
            };
        }
        match exact {
            &[index] => Ok(index),
            [] => self.by_words(text),
            several => Err(NoMatch::Ambiguous(several.to_vec())),
        }
    }

    /// The class some of whose synonyms these are; else the one whose synonyms are all among these.
    fn by_words(&self, text: &str) -> Match {
        if let Some(&[index]) = self.by_text.get(&normal(text)).map(Vec::as_slice) {
            return Ok(index);
        }
        let parts: Vec<String> = synonyms(text).collect();
        let of = |part: &String| self.by_synonym.get(part).map(Vec::as_slice).unwrap_or_default();
        let mut all = parts.first().map(of).unwrap_or_default().to_vec();
        all.retain(|index| parts.iter().all(|part| of(part).contains(index)));
        if all.is_empty() {
            all = parts.iter().flat_map(of).copied().collect();
            all.sort_unstable();
            all.dedup();
            // A part that is another class's name speaks against it: `cat, dog` is neither.
            let is_of = |index, part| of(part).is_empty() || of(part).contains(&index);
            all.retain(|&index| {
                let whole = |text: &String| synonyms(text).all(|s| parts.contains(&s));
                self.texts.get(index).is_some_and(whole) && parts.iter().all(|part| is_of(index, part))
            });
        }
        match *all {
            [index] => Ok(index),
            [] => Err(NoMatch::Unknown),
            _ => Err(NoMatch::Ambiguous(all)),
        }
    }

    /// What each name of a list means. A list as long as the classes, whose known names all stand at their own place,
    /// has the order of the classes: its other names are the classes of their place. Of classes that share a name, those
    /// that other names of the list mean are not meant.
    fn find_all(&self, list: &NameList) -> Vec<Match> {
        let mut found: Vec<Match> = list.names.iter().map(|name| self.find(name)).collect();
        let known = found.iter().flatten().count();
        let at_home = found.iter().enumerate().all(|(at, m)| match m {
            Ok(index) => *index == at,
            Err(NoMatch::Ambiguous(indices)) => indices.contains(&at),
            Err(NoMatch::Unknown) => true,
        });
        if at_home && found.len() == self.len() && 2 * known >= found.len() {
            return (0..found.len()).map(Ok).collect();
        }
        let taken: Vec<usize> = found.iter().flatten().copied().collect();
        for m in &mut found {
            if let Err(NoMatch::Ambiguous(indices)) = m {
                let left: Vec<usize> = indices.iter().copied().filter(|i| !taken.contains(i)).collect();
                if let [index] = *left {
                    *m = Ok(index);
                }
            }
        }
        found
    }

    /// Names near one that is not known.
    fn near(&self, text: &str) -> Vec<String> {
        let wanted = normal(text);
        if wanted.is_empty() || is_synset(&wanted) || whole_number(&wanted).is_some() {
            return Vec::new();
        }
        let mut near: Vec<_> = self
            .by_synonym
            .iter()
            .map(|(name, indices)| (strsim::jaro_winkler(&wanted, name), name, indices))
            .filter(|(score, ..)| *score >= MIN_LIKENESS)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        near.iter()
            .take(MAX_NEAR)
            .flat_map(|(.., indices)| indices.first().map(|&i| self.describe(i)))
            .collect()
    }
}

/// Finds the classes of one dataset's labels: a list of names is matched once.
pub(super) struct Matcher<'a> {
    classes: &'a Classes,
    lists: Vec<(Arc<NameList>, Vec<Match>)>,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(classes: &'a Classes) -> Self {
        Matcher { classes, lists: Vec::new() }
    }

    /// The class indices of a label, ascending; none where it has none.
    ///
    /// # Errors
    /// [`Error::UnknownClass`], [`Error::AmbiguousClass`].
    pub(super) fn indices(&mut self, label: &RawLabel, path: &str) -> Result<Vec<usize>> {
        let mut indices = Vec::new();
        self.add(label, path, &mut indices)?;
        indices.sort_unstable();
        indices.dedup();
        Ok(indices)
    }

    fn add(&mut self, label: &RawLabel, path: &str, into: &mut Vec<usize>) -> Result<()> {
        let (found, text, shown) = match label {
            RawLabel::Unlabelled | RawLabel::Missing(_) => return Ok(()),
            RawLabel::Any(several) => return several.iter().try_for_each(|one| self.add(one, path, into)),
            RawLabel::Index(index) if *index < self.classes.len() => (Ok(*index), "", String::new()),
            RawLabel::Index(index) => (Err(NoMatch::Unknown), "", format!("class index {index}")),
            RawLabel::Text(text) => {
                let shown = match whole_number(text) {
                    Some(number) => format!("class index {number}"),
                    None => format!("`{text}`"),
                };
                (self.classes.find(text), text.as_str(), shown)
            }
            RawLabel::Listed(list, index) => {
                let name = list.names.get(*index).map_or("", String::as_str);
                let found = self.listed(list, *index);
                (found, name, format!("`{name}` ({index} of {})", list.origin))
            }
        };
        let (path, of) = (path.to_owned(), self.classes.title.clone());
        match found {
            Ok(index) => into.push(index),
            Err(NoMatch::Unknown) => {
                let near = self.classes.near(text);
                return Err(Error::UnknownClass { path, found: shown, of, near });
            }
            Err(NoMatch::Ambiguous(indices)) => {
                let of = indices.into_iter().map(|i| self.classes.describe(i)).collect();
                return Err(Error::AmbiguousClass { path, found: shown, of });
            }
        }
        Ok(())
    }

    fn listed(&mut self, list: &Arc<NameList>, index: usize) -> Match {
        let at = match self.lists.iter().position(|(known, _)| Arc::ptr_eq(known, list)) {
            Some(at) => at,
            None => {
                // Shards repeat the list: one of the same names is the same.
                let same = self.lists.iter().find(|(known, _)| known.names == list.names);
                let matches = same.map_or_else(|| self.classes.find_all(list), |(_, m)| m.clone());
                self.lists.push((list.clone(), matches));
                self.lists.len() - 1
            }
        };
        let found = self.lists.get(at).and_then(|(_, matches)| matches.get(index)).cloned();
        found.unwrap_or(Err(NoMatch::Unknown))
    }
}

/// Letters and digits in lower case, words apart by one space: `Golden_Retriever` is `golden retriever`.
fn normal(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut out = String::with_capacity(text.len());
    for word in words {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}

/// The normal forms of a text's parts.
fn synonyms(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(',').map(normal).filter(|part| !part.is_empty())
}

/// A text without the id in it, and what set them apart.
fn without(text: &str, id: &str) -> String {
    let apart = |c: char| c.is_whitespace() || matches!(c, '-' | '_' | ':' | '(' | ')' | ',' | '\t' | '|');
    text.replacen(id, " ", 1).trim_matches(apart).to_owned()
}

#[cfg(test)]
mod tests;
