//! What layouts say about an image's class, before it is known what a model calls its classes; and the two patterns by
//! which names tell something of themselves.
//!
//! In: texts and numbers of label files, folders and tables. Out: a [`RawLabel`]. Made by every layout, read by
//! `classes`.

use std::sync::Arc;

/// What the names of ImageNet's validation images begin with.
const VALIDATION: &str = "ILSVRC2012_val_";

/// What a layout says about an image's class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawLabel {
    /// A number without names beside it: an index of the model's classes.
    Index(usize),
    /// A WordNet id, a class's name or names, or an index in decimal.
    Text(String),
    /// A position in names that the data carry, such as Hugging Face's ClassLabel.
    Listed(Arc<NameList>, usize),
    /// Any of these is right.
    Any(Vec<RawLabel>),
    /// None is needed: another set of labels replaces it.
    Unlabelled,
    /// There should be one, and this is why there is none.
    Missing(String),
}

/// The names that a dataset's own numbers stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameList {
    /// Name 0, 1 …
    pub names: Vec<String>,
    /// Where they are written, for messages: ``the ClassLabel `label` of `a.parquet` ``.
    pub origin: String,
}

impl RawLabel {
    /// What a text says.
    pub(super) fn of_text(text: &str) -> Self {
        match clean(text) {
            "" => RawLabel::Missing("its label is empty".into()),
            text => RawLabel::Text(text.to_owned()),
        }
    }

    /// What a whole number says, among `names` where there are some. `-1` is Hugging Face's mark of no label.
    ///
    /// # Errors
    /// A number that is no index, in words.
    pub(super) fn of_number(number: i64, names: Option<&Arc<NameList>>) -> Result<Self, String> {
        let Ok(index) = usize::try_from(number) else {
            return match number {
                -1 => Ok(RawLabel::Missing("its label is -1, which means that it has none".into())),
                _ => Err(format!("label {number}")),
            };
        };
        match names {
            None => Ok(RawLabel::Index(index)),
            Some(list) if index < list.names.len() => Ok(RawLabel::Listed(list.clone(), index)),
            Some(list) => Err(format!("label {index}, and {} has {} names", list.origin, list.names.len())),
        }
    }

    /// A text whose number is a position in `names`, where there are some: a CSV or `.cls` beside a dataset card.
    ///
    /// # Errors
    /// As [`RawLabel::of_number`].
    pub(super) fn of_text_among(text: &str, names: Option<&Arc<NameList>>) -> Result<Self, String> {
        match names.and_then(|_| whole_number(clean(text))) {
            Some(number) => RawLabel::of_number(number, names),
            None => Ok(RawLabel::of_text(text)),
        }
    }
}

/// A text without what surrounds it: white space, a byte-order mark, quotes.
pub(super) fn clean(text: &str) -> &str {
    let text = text.trim().trim_start_matches('\u{feff}').trim();
    let quoted = |mark| text.strip_prefix(mark).and_then(|t| t.strip_suffix(mark));
    quoted('"').or_else(|| quoted('\'')).map_or(text, str::trim)
}

/// A whole number, also as pandas writes one where a column has gaps (`65.0`), or with zeros before it.
pub(super) fn whole_number(text: &str) -> Option<i64> {
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|b| b == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if decimal { whole.parse().ok() } else { None }
}

/// Whether a name is a WordNet id: `n` and eight digits.
pub(super) fn is_synset(name: &str) -> bool {
    name.len() == 9 && name.starts_with('n') && name.bytes().skip(1).all(|b| b.is_ascii_digit())
}

/// Whether a folder's name is a class index.
pub(super) fn is_index(name: &str) -> bool {
    !name.is_empty() && name.len() <= 5 && name.bytes().all(|b| b.is_ascii_digit())
}

/// The one WordNet id in a text, such as that of `n02099601-golden_retriever`.
pub(super) fn synset_in(text: &str) -> Option<&str> {
    let mut found = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| is_synset(part));
    let first = found.next()?;
    if found.all(|other| other == first) { Some(first) } else { None }
}

/// The eight digits of a validation image's name, whatever follows them: Hugging Face appends the synset.
pub(super) fn validation_number(file_name: &str) -> Option<&str> {
    let digits = file_name.strip_prefix(VALIDATION)?.get(..8)?;
    let rest = file_name.get(VALIDATION.len() + 8..)?;
    let ends = !rest.starts_with(|c: char| c.is_ascii_digit());
    (ends && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_tables_have_them() {
        let found =
            ["7", "007", "65.0", "65.", "-1", "0", "6.5", "x7", "", "-", "1e3", "٣"].map(whole_number);
        let expected =
            [Some(7), Some(7), Some(65), Some(65), Some(-1), Some(0), None, None, None, None, None, None];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_surrounds_a_label_is_no_part_of_it() {
        assert_eq!(clean("\u{feff} n01440764\r\n"), "n01440764");
        assert_eq!(clean("\"tench, Tinca tinca\" "), "tench, Tinca tinca");
        assert_eq!(clean("jack-o'-lantern"), "jack-o'-lantern");
        assert_eq!(RawLabel::of_text(" \r"), RawLabel::Missing("its label is empty".into()));
    }

    #[test]
    fn ids_inside_texts() {
        assert_eq!(synset_in("n02099601-golden_retriever"), Some("n02099601"));
        assert_eq!(synset_in("tench (n01440764)"), Some("n01440764"));
        assert_eq!(synset_in("n01440764 or n01443537"), None);
        assert_eq!(synset_in("n014407641"), None);
    }

    #[test]
    fn names_that_look_like_validation_images() {
        let number = validation_number;
        assert_eq!(number("ILSVRC2012_val_00000293.JPEG"), Some("00000293"));
        assert_eq!(number("ILSVRC2012_val_00000293_n01440764.JPEG"), Some("00000293"));
        assert_eq!(number("ILSVRC2012_val_000002931.JPEG"), None);
        assert_eq!(number("ILSVRC2012_val_0000029.JPEG"), None);
        assert_eq!(number("ILSVRC2010_val_00000293.JPEG"), None);
    }
}
