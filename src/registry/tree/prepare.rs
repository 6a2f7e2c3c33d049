//! What the YAML scanner is given instead of a text, so that it takes all that Python's readers take, and how to
//! read its answers.
//!
//! In: a YAML text. Out: [`Prepared`], which differs from it in three ways. An escape of half a surrogate pair
//! (`"\ud83d\ude00"`), which no Rust string holds, names a character of a private range that the text uses nowhere.
//! A `!` that could begin a tag with a comma right after it is such a character too, and the text ends with a line
//! break: libyaml-safer 0.3 panics on the one, and on a block scalar or a backslash that ends a text. Called by the
//! YAML reader.

use std::borrow::Cow;
use std::ops::Range;

/// The codes of surrogates.
const SURROGATES: Range<u32> = 0xd800..0xe000;
/// Where their stand-ins may be: ranges of the private use area, each as long as [`SURROGATES`].
const SURROGATE_STAND_INS: [u32; 3] = [0xe000, 0xe800, 0xf000];
/// Where the stand-in of a `!` may be.
const MARK_STAND_INS: Range<u32> = 0xf800..0xf900;

/// The line breaks of YAML 1.1.
const BREAKS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// A text as the scanner gets it.
pub(super) struct Prepared<'a> {
    original: &'a str,
    text: String,
    surrogates: Option<Surrogates>,
    /// What stands for `!`, and where, in bytes of `text`.
    marks: Option<(char, Vec<usize>)>,
}

/// Which characters of a text stand for surrogates.
struct Surrogates {
    first: u32,
    /// Where the digits of each escape were in the original, and what they were.
    escapes: Vec<(usize, String)>,
}

impl<'a> Prepared<'a> {
    /// Prepares a text; `None` where it uses all private characters itself.
    pub(super) fn new(original: &'a str) -> Option<Self> {
        let codes: Vec<(usize, u32)> = escapes(original).collect();
        let mut text = original.to_owned();
        let has_some = codes.iter().any(|(_, code)| SURROGATES.contains(code));
        let surrogates = if has_some { Some(Surrogates::hide(&mut text, &codes)?) } else { None };
        let marks = if may_break_off(original) { Some(hide_marks(&mut text)?) } else { None };
        if !text.ends_with(BREAKS) {
            text.push('\n');
        }
        Some(Prepared { original, text, surrogates, marks })
    }

    /// What the scanner reads.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The offset in the original of an offset in the scanner's text.
    pub(super) fn offset(&self, at: usize) -> usize {
        let shift = self
            .marks
            .as_ref()
            .map_or(0, |(mark, places)| (mark.len_utf8() - 1) * places.partition_point(|&place| place < at));
        (at - shift.min(at)).min(self.original.len())
    }

    /// Whether a plain scalar is none: a tag with a comma right after it.
    pub(super) fn is_broken_tag(&self, plain: &str) -> bool {
        self.marks.as_ref().is_some_and(|(mark, _)| plain.starts_with(*mark))
    }

    /// The value of a scalar that begins at an offset of the original, and whether half a surrogate pair was lost
    /// from it.
    pub(super) fn value(&self, scanned: String, double_quoted: bool, start: usize) -> (String, bool) {
        let text = match &self.marks {
            Some((mark, _)) if scanned.contains(*mark) => scanned.replace(*mark, "!"),
            _ => scanned,
        };
        match &self.surrogates {
            None => (text, false),
            Some(surrogates) if double_quoted => surrogates.decoded(text),
            Some(surrogates) => (surrogates.verbatim(&text, start).into_owned(), false),
        }
    }

    /// The value of a block scalar that ends at an offset of the scanner's text, without the line break that the
    /// original has not.
    pub(super) fn block(&self, mut value: String, end: usize) -> String {
        if end < self.text.len() || self.original.ends_with(BREAKS) {
            return value;
        }
        let last = self.original.rsplit(BREAKS).next().unwrap_or_default();
        let is_blank = last.trim_matches(' ').is_empty();
        // A line of nothing but spaces belongs to the text only where it is indented further, or where every line
        // break at the end is kept.
        let counts = !is_blank || value == "\n" || value.ends_with("\n\n") || value.ends_with(" \n");
        if counts && value.ends_with('\n') {
            value.pop();
        }
        value
    }
}

/// Whether something begins like a tag and has a comma right after it.
fn may_break_off(text: &str) -> bool {
    let of_tag = |c: char| c.is_ascii_alphanumeric() || "-_;/?:@&=+$.%!~*'()".contains(c);
    text.match_indices('!')
        .any(|(at, _)| text.get(at..).is_some_and(|rest| rest.trim_start_matches(of_tag).starts_with(',')))
}

/// Puts a stand-in where a `!` could begin such a tag.
fn hide_marks(text: &mut String) -> Option<(char, Vec<usize>)> {
    let lower = text.to_ascii_lowercase();
    let unused = |code: &u32| {
        !lower.contains(&format!("{code:04x}")) && char::from_u32(*code).is_some_and(|c| !text.contains(c))
    };
    let mark = char::from_u32(MARK_STAND_INS.into_iter().find(unused)?)?;
    let mut hidden = String::with_capacity(text.len());
    let mut places = Vec::new();
    for part in text.split_inclusive('!') {
        match part.strip_suffix('!') {
            Some(before) => {
                hidden.push_str(before);
                places.push(hidden.len());
                hidden.push(mark);
            }
            None => hidden.push_str(part),
        }
    }
    *text = hidden;
    Some((mark, places))
}

/// The four digits after each `\u` whose backslash is not escaped itself: where they are, and their number.
fn escapes(text: &str) -> impl Iterator<Item = (usize, u32)> {
    text.match_indices("\\u").filter_map(move |(at, mark)| {
        let before = text.get(..at)?;
        if (before.len() - before.trim_end_matches('\\').len()) % 2 == 1 {
            return None;
        }
        let digits = text.get(at + mark.len()..at + mark.len() + 4)?;
        let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        Some((at + mark.len(), u32::from_str_radix(digits, 16).ok().filter(|_| hex)?))
    })
}

impl Surrogates {
    /// Puts stand-ins where a text has escapes of surrogates. Nothing moves: both have four digits.
    fn hide(text: &mut String, codes: &[(usize, u32)]) -> Option<Self> {
        let within = |first: u32, code: u32| (first..first + SURROGATES.len() as u32).contains(&code);
        let first = SURROGATE_STAND_INS.into_iter().find(|&first| {
            !text.chars().any(|c| within(first, u32::from(c)))
                && !codes.iter().any(|(_, code)| within(first, *code))
        })?;
        let mut kept = Vec::new();
        for (at, code) in codes.iter().filter(|(_, code)| SURROGATES.contains(code)) {
            let digits = format!("{:04x}", first + (code - SURROGATES.start));
            kept.push((*at, text.get(*at..at + 4)?.to_owned()));
            text.replace_range(*at..at + 4, &digits);
        }
        Some(Surrogates { first, escapes: kept })
    }

    fn code(&self, c: char) -> Option<u32> {
        let at = u32::from(c).checked_sub(self.first)?;
        (at < SURROGATES.len() as u32).then(|| SURROGATES.start + at)
    }

    /// The value of a double-quoted scalar, and whether half a pair was lost from it.
    fn decoded(&self, text: String) -> (String, bool) {
        if !text.chars().any(|c| self.code(c).is_some()) {
            return (text, false);
        }
        let mut out = String::with_capacity(text.len());
        let mut lost = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let Some(first) = self.code(c) else {
                out.push(c);
                continue;
            };
            let second = chars.peek().and_then(|c| self.code(*c));
            let units = [Some(first), second].into_iter().flatten().filter_map(|u| u16::try_from(u).ok());
            match char::decode_utf16(units).next() {
                Some(Ok(whole)) => {
                    chars.next();
                    out.push(whole);
                }
                _ => {
                    lost = true;
                    out.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
        (out, lost)
    }

    /// The text of any other scalar, in which a backslash is one: as the original has it from byte `start` on.
    fn verbatim<'t>(&self, text: &'t str, start: usize) -> Cow<'t, str> {
        let next = self.escapes.partition_point(|(at, _)| *at < start);
        let is_stand_in = |code: &u32| char::from_u32(*code).and_then(|c| self.code(c)).is_some();
        let places: Vec<usize> =
            escapes(text).filter(|(_, code)| is_stand_in(code)).map(|(at, _)| at).collect();
        if places.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = text.to_owned();
        for (at, (_, digits)) in places.into_iter().zip(self.escapes.iter().skip(next)) {
            out.replace_range(at..at + 4, digits);
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrogates_are_hidden_and_found_again() {
        let text = "a: \"\\ud83d\\ude00 \\uD800\" # \\uDFFF \u{e001}\n";
        let prepared = Prepared::new(text).unwrap();
        assert_eq!(prepared.text().len(), text.len());
        let codes: Vec<u32> = escapes(prepared.text()).map(|(_, code)| code).collect();
        assert_eq!(codes, [0xe83d, 0xee00, 0xe800, 0xefff]);
        let scanned: String = codes.iter().take(3).filter_map(|code| char::from_u32(*code)).collect();
        assert_eq!(prepared.value(scanned, true, 3), ("😀\u{fffd}".to_owned(), true));
        let comment = prepared.text().split('#').nth(1).unwrap().to_owned();
        let original = text.split('#').nth(1).unwrap().to_owned();
        assert_eq!(prepared.value(comment, false, text.find('#').unwrap()), (original, false));
    }

    #[test]
    fn offsets_are_those_of_the_original() {
        let text = "[!a, b!, 'c!,']";
        let prepared = Prepared::new(text).unwrap();
        for (at, c) in text.char_indices().filter(|(_, c)| *c != '!') {
            let mut moved = prepared.text().char_indices().map(|(at, _)| at);
            let there = moved.rfind(|&m| prepared.offset(m) == at).unwrap();
            assert!(prepared.text()[there..].starts_with(c), "{at} {c}");
        }
        assert!(Prepared::new("plain !text, no\n").is_some());
    }
}
