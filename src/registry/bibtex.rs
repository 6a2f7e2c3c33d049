//! BibTeX: entries with their fields, and where a text stops making sense.
//!
//! In: a text. Out: its entries, as they are written and field by field, or the first mistake with its place. What stands
//! between entries is comment, as BibTeX has it. Called by `lint`, by [`super::citation`] and by `import`.
//!
//! It is stricter than readers that make the best of a text (an entry without a key, braces that never close), and it
//! takes what BibTeX takes (entries in parentheses), because it answers whether a citation manager would read a page.

/// Where a text is no BibTeX, and why. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BibEntry {
    /// Its type in lower case, such as `misc`.
    pub kind: String,
    /// Its key.
    pub key: String,
    /// Its fields in order: the name in lower case, the value without its braces or quotes, parts joined.
    pub fields: Vec<(String, String)>,
    /// The entry as it is written, from its `@` to what closes it.
    pub text: String,
}

impl BibEntry {
    /// The first field of a name, its white space folded; nothing where it is empty.
    pub fn field(&self, name: &str) -> Option<String> {
        let (_, value) = self.fields.iter().find(|(field, _)| field == name)?;
        let folded = value.split_whitespace().collect::<Vec<_>>().join(" ");
        (!folded.is_empty()).then_some(folded)
    }

    /// The entry under another key, otherwise as it is written.
    pub fn text_under(&self, key: &str) -> String {
        self.text.replacen(self.key.as_str(), key, 1)
    }
}

/// The entries of a text.
///
/// # Errors
/// The first mistake; a text without any entry is one.
pub fn entries(text: &str) -> Result<Vec<BibEntry>, Mistake> {
    let (found, mistakes) = readable(text);
    match mistakes.into_iter().next() {
        Some(mistake) => Err(mistake),
        None if found.is_empty() => {
            let message = "no entry such as `@misc{key, title = {…}}`".into();
            Err(Mistake { line: 1, column: 1, message })
        }
        None => Ok(found),
    }
}

/// The entries that can be read, and what is wrong with the others. After a mistake it goes on with the next line that
/// begins with an `@`.
pub fn readable(text: &str) -> (Vec<BibEntry>, Vec<Mistake>) {
    let mut reader = Reader { text, rest: text.chars().peekable(), at: 0, line: 1, column: 1 };
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    while let Some(c) = reader.next() {
        if c != '@' {
            continue;
        }
        let begun = reader.clone();
        match reader.entry() {
            Ok(entry) => found.extend(entry),
            Err(mistake) => {
                mistakes.push(mistake);
                reader = begun;
                reader.skip_to_next_entry();
            }
        }
    }
    (found, mistakes)
}

/// A number: a month by its name, or the text of a value that is no quoted text.
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

#[derive(Clone)]
struct Reader<'a> {
    text: &'a str,
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    /// Bytes before `rest`.
    at: usize,
    line: usize,
    column: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        self.at += c.len_utf8();
        match c {
            '\n' => (self.line, self.column) = (self.line + 1, 1),
            _ => self.column += 1,
        }
        Some(c)
    }

    /// Up to, not including, an `@` that is the first sign of a line.
    fn skip_to_next_entry(&mut self) {
        let mut begins = false;
        while let Some(&c) = self.rest.peek() {
            if c == '@' && begins {
                return;
            }
            begins = c == '\n' || (begins && c.is_whitespace());
            self.next();
        }
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, Mistake> {
        Err(Mistake { line: self.line, column: self.column, message: message.into() })
    }

    fn space(&mut self) {
        while self.rest.peek().is_some_and(|c| c.is_whitespace()) {
            self.next();
        }
    }

    /// A name of a type, a key or a field: anything that ends it is left.
    fn word(&mut self) -> String {
        let mut word = String::new();
        self.space();
        while let Some(&c) = self.rest.peek() {
            if c.is_whitespace() || "{}(),=\"#%".contains(c) {
                break;
            }
            word.push(c);
            self.next();
        }
        word
    }

    fn expect(&mut self, wanted: char, after: &str) -> Result<(), Mistake> {
        self.space();
        match self.rest.peek().copied() {
            Some(c) if c == wanted => {
                self.next();
                Ok(())
            }
            Some(c) => self.error(format!("expected `{wanted}` after {after}, found `{c}`")),
            None => self.error(format!("expected `{wanted}` after {after}, found the end")),
        }
    }

    /// After an `@`: an entry; `@comment` and its like are none.
    fn entry(&mut self) -> Result<Option<BibEntry>, Mistake> {
        let start = self.at.saturating_sub(1);
        let kind = self.word().to_lowercase();
        if kind.is_empty() {
            return self.error("expected a type such as `misc` after `@`");
        }
        self.space();
        let close = match self.rest.peek() {
            Some('{') => '}',
            Some('(') => ')',
            _ => return self.error(format!("expected `{{` after `@{kind}`")),
        };
        self.next();
        let mut key = String::new();
        let mut fields = Vec::new();
        match kind.as_str() {
            "comment" | "preamble" => {
                self.balanced(close)?;
                return Ok(None);
            }
            "string" => {}
            _ => {
                key = self.word();
                if key.is_empty() {
                    return self.error(format!("this `@{kind}` has no key"));
                }
                self.space();
                if self.rest.peek() != Some(&close) {
                    self.expect(',', &format!("the key `{key}`"))?;
                }
            }
        }
        loop {
            self.space();
            if self.rest.peek() == Some(&close) {
                self.next();
                let text = self.text.get(start..self.at).unwrap_or_default().to_owned();
                return Ok((kind != "string").then_some(BibEntry { kind, key, fields, text }));
            }
            let field = self.word();
            if field.is_empty() {
                return match self.rest.peek() {
                    Some(c) => {
                        let message = format!("expected a field or `{close}`, found `{c}`");
                        self.error(message)
                    }
                    None => self.error(format!("this `@{kind}` has no end")),
                };
            }
            self.expect('=', &format!("the field `{field}`"))?;
            let value = self.value(&field)?;
            fields.push((field.to_lowercase(), value));
            self.space();
            match self.rest.peek().copied() {
                Some(',') => {
                    self.next();
                }
                Some(c) if c == close => {}
                Some(c) => {
                    return self.error(format!("expected `,` or `{close}` after `{field}`, found `{c}`"));
                }
                None => return self.error(format!("this `@{kind}` has no end")),
            }
        }
    }

    /// Parts joined by `#`: in braces, in quotes, a number, or the name of a string.
    fn value(&mut self, field: &str) -> Result<String, Mistake> {
        let mut value = String::new();
        loop {
            self.space();
            match self.rest.peek().copied() {
                Some('{') => {
                    self.next();
                    value.push_str(self.balanced('}')?);
                }
                Some('"') => {
                    self.next();
                    value.push_str(self.balanced('"')?);
                }
                _ => {
                    let word = self.word();
                    if word.is_empty() {
                        return self.error(format!("the field `{field}` has no value"));
                    }
                    match MONTHS.iter().position(|month| *month == word) {
                        Some(month) if field.eq_ignore_ascii_case("month") => {
                            value.push_str(&(month + 1).to_string());
                        }
                        _ => value.push_str(&word),
                    }
                }
            }
            self.space();
            if self.rest.peek() != Some(&'#') {
                return Ok(value);
            }
            self.next();
        }
    }

    /// Up to `close`, braces balanced in between; what is before it.
    fn balanced(&mut self, close: char) -> Result<&str, Mistake> {
        let (line, column, start) = (self.line, self.column, self.at);
        let mut depth = 0usize;
        while let Some(c) = self.next() {
            match c {
                _ if c == close && depth == 0 => {
                    return Ok(self.text.get(start..self.at.saturating_sub(1)).unwrap_or_default());
                }
                '{' => depth += 1,
                '}' if depth == 0 => return self.error("a `}` that closes nothing"),
                '}' => depth -= 1,
                _ => {}
            }
        }
        Err(Mistake { line, column, message: format!("no `{close}` closes what opens here") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_and_mistakes_placed() {
        let count = |text: &str| entries(text).map(|found| found.len());
        assert_eq!(count("@misc{a,\n title={A {B} c},\n year = 2020, note = \"x{\"}y\" # jan\n}"), Ok(1));
        assert_eq!(count("see @article(k, a = {b},) and @Book{l} @comment{x} @string{j = {J}}"), Ok(2));
        for (text, line, part) in [
            ("nothing", 1, "no entry"),
            ("@misc{a,\n title={A {B c},\n}", 3, "has no end"),
            ("@misc{a,\n title={A {B c},\n", 2, "no `}` closes"),
            ("@misc{a\n title={A}}", 2, "expected `,`"),
            ("@misc{a, title {A}}", 1, "expected `=`"),
            ("@misc{a, title = ,}", 1, "no value"),
            ("@misc{, title = {x}}", 1, "no key"),
            ("@misc{a, title = {x}", 1, "has no end"),
            ("@misc a", 1, "expected `{`"),
        ] {
            let mistake = entries(text).unwrap_err();
            assert!(mistake.line == line && mistake.message.contains(part), "{text}: {mistake:?}");
        }
    }

    #[test]
    fn fields_are_read_and_the_text_is_kept() {
        let text = "@Article{a:b,\n  title = {The {BiT}  of\n it}, \n  year=2020, month = mar, note = \"x\" # {y}\n}";
        let all = format!("before {text} behind");
        let found = entries(&all).unwrap();
        assert_eq!(found[0].text, text);
        assert_eq!((found[0].kind.as_str(), found[0].key.as_str()), ("article", "a:b"));
        let field = |name| found[0].field(name).unwrap();
        assert_eq!([field("title"), field("year")], ["The {BiT} of it", "2020"]);
        assert_eq!([field("month"), field("note")], ["3", "xy"]);
        assert!(found[0].text_under("k2").starts_with("@Article{k2,\n"));
    }

    #[test]
    fn an_entry_that_is_none_does_not_cost_the_next() {
        let text = "@article{open,\n@misc{b,\n title={x}\n}\n";
        assert_eq!(entries(text).unwrap_err().line, 2);
        let (found, mistakes) = readable(text);
        assert_eq!((found.len(), mistakes.len(), found[0].key.as_str()), (1, 1, "b"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_ends(text in "[@{}(),=\"# aé\n]{0,60}") {
            let (found, _) = readable(&text);
            for entry in found {
                proptest::prop_assert!(text.contains(&entry.text));
            }
        }
    }
}
