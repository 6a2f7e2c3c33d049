//! Lines for a terminal that is only so wide. In: escaped text. Out: the same in lines of at most that many
//! columns. Called by `zoo lint` and `zoo show`, and by tables whose cells are long.

use std::borrow::Cow;

use tabled::grid::util::string::get_line_width;

use super::safe;

/// Columns that escaped text takes; colours take none.
pub(super) fn width(text: &str) -> usize {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) { text.len() } else { get_line_width(text) }
}

/// Adds `line` to `out`, behind `start` columns that are there, in lines of at most `most` columns, the later ones
/// indented. Words are never cut.
pub fn words(line: &str, most: Option<usize>, start: usize, indent: usize, out: &mut String) {
    let mut words = line.split(' ');
    // What is there is no word: the first stands right behind it.
    let first = words.next().unwrap_or_default();
    let mut used = start + width(first);
    out.push_str(first);
    for word in words {
        let columns = width(word);
        match most {
            Some(most) if used > 0 && used + 1 + columns > most => {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                used = indent + columns;
                out.push_str(&begun(word));
            }
            _ => {
                out.push_str(if used > 0 { " " } else { "" });
                used += usize::from(used > 0) + columns;
                out.push_str(word);
            }
        }
    }
    out.push('\n');
}

/// One text in pieces of at most `width` columns, cut behind a space or a sign of addresses where there is one
/// in the latter half of a piece.
pub(super) fn pieces(text: &str, most: usize) -> Vec<Cow<'_, str>> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while width(rest) > most.max(1) {
        let fits = |end: &usize| rest.get(..*end).is_some_and(|head| width(head) <= most.max(1));
        let ends: Vec<usize> =
            rest.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| fits(end)).collect();
        let good = |end: &&usize| {
            rest.get(..**end)
                .is_some_and(|h| h.ends_with([' ', '/', '-', '_', '.', ',']) && width(h) * 2 > most)
        };
        // A letter wider than the room is a piece all the same.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let end = ends.iter().rev().find(good).or(ends.last()).copied().unwrap_or(first);
        let (head, tail) = rest.split_at(end);
        pieces.push(begun(head));
        rest = tail;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(begun(rest));
    }
    pieces
}

/// What begins a line begins no command of a workflow's log, though it would not have in the middle of one.
fn begun(text: &str) -> Cow<'_, str> {
    match text.trim_start().starts_with("::") {
        true => safe::terminal(text),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_words() {
        let fold = |line: &str, most| {
            let mut out = String::new();
            words(line, Some(most), 0, 4, &mut out);
            out
        };
        assert_eq!(fold("one two three four", 9), "one two\n    three\n    four\n");
        assert_eq!(fold("\u{1b}[1mone\u{1b}[0m two", 7), "\u{1b}[1mone\u{1b}[0m two\n");
        assert_eq!(fold("a ::error::b", 4), "a\n    \\u{3a}:error::b\n");
    }

    #[test]
    fn long_texts_are_cut_behind_signs() {
        assert_eq!(pieces("abc", 3), ["abc"]);
        assert_eq!(pieces("https://x.org/weights/a.pth", 16), ["https://x.org/", "weights/a.pth"]);
        assert_eq!(pieces("abcdefg", 3), ["abc", "def", "g"]);
        assert_eq!(pieces("日本", 1), ["日", "本"]);
        assert_eq!(pieces("ab::error", 2)[1], "\\u{3a}:");
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost(text in "[a-z/. é日]{0,40}", most in 0usize..12) {
            proptest::prop_assert_eq!(pieces(&text, most).concat(), text);
        }
    }
}
