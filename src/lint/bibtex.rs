//! Reads BibTeX far enough to tell whether a citation manager would.
//!
//! In: a text. Out: how many entries it has, or the first place where it stops making sense. What stands
//! between entries is comment, as BibTeX has it.

/// Where a text is no BibTeX, and why. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

/// The entries of a text.
pub(super) fn entries(text: &str) -> Result<usize, Mistake> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1, column: 1 };
    let mut count = 0;
    loop {
        match reader.next() {
            None => break,
            Some('@') => count += usize::from(reader.entry()?),
            Some(_) => {}
        }
    }
    match count {
        0 => {
            Err(Mistake {
                line: 1, column: 1, message: "no entry such as `@misc{key, title = {…}}`".into()
            })
        }
        _ => Ok(count),
    }
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        match c {
            '\n' => (self.line, self.column) = (self.line + 1, 1),
            _ => self.column += 1,
        }
        Some(c)
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

    fn expect(&mut self, wanted: char, behind: &str) -> Result<(), Mistake> {
        self.space();
        match self.rest.peek().copied() {
            Some(c) if c == wanted => {
                self.next();
                Ok(())
            }
            Some(c) => self.error(format!("expected `{wanted}` behind {behind}, found `{c}`")),
            None => self.error(format!("expected `{wanted}` behind {behind}, found the end")),
        }
    }

    /// Behind an `@`. Whether it was an entry; `@comment` and its like are none.
    fn entry(&mut self) -> Result<bool, Mistake> {
        let kind = self.word().to_lowercase();
        if kind.is_empty() {
            return self.error("expected a type such as `misc` behind `@`");
        }
        self.space();
        let close = match self.rest.peek() {
            Some('{') => '}',
            Some('(') => ')',
            _ => return self.error(format!("expected `{{` behind `@{kind}`")),
        };
        self.next();
        match kind.as_str() {
            "comment" | "preamble" => {
                self.balanced(close)?;
                return Ok(false);
            }
            "string" => {}
            _ => {
                let key = self.word();
                if key.is_empty() {
                    return self.error(format!("this `@{kind}` has no key"));
                }
                self.space();
                if self.rest.peek() == Some(&close) {
                    self.next();
                    return Ok(true);
                }
                self.expect(',', &format!("the key `{key}`"))?;
            }
        }
        loop {
            self.space();
            if self.rest.peek() == Some(&close) {
                self.next();
                return Ok(kind != "string");
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
            self.value(&field)?;
            self.space();
            match self.rest.peek().copied() {
                Some(',') => {
                    self.next();
                }
                Some(c) if c == close => {}
                Some(c) => {
                    return self.error(format!("expected `,` or `{close}` behind `{field}`, found `{c}`"));
                }
                None => return self.error(format!("this `@{kind}` has no end")),
            }
        }
    }

    /// Parts joined by `#`: in braces, in quotes, a number, or the name of a string.
    fn value(&mut self, field: &str) -> Result<(), Mistake> {
        loop {
            self.space();
            match self.rest.peek().copied() {
                Some('{') => {
                    self.next();
                    self.balanced('}')?;
                }
                Some('"') => {
                    self.next();
                    self.balanced('"')?;
                }
                _ if self.word().is_empty() => {
                    return self.error(format!("the field `{field}` has no value"));
                }
                _ => {}
            }
            self.space();
            if self.rest.peek() != Some(&'#') {
                return Ok(());
            }
            self.next();
        }
    }

    /// Up to `close`, braces balanced in between.
    fn balanced(&mut self, close: char) -> Result<(), Mistake> {
        let (line, column) = (self.line, self.column);
        let mut depth = 0usize;
        while let Some(c) = self.next() {
            match c {
                _ if c == close && depth == 0 => return Ok(()),
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
        assert_eq!(entries("@misc{a,\n title={A {B} c},\n year = 2020, note = \"x{\"}y\" # jan\n}"), Ok(1));
        assert_eq!(entries("see @article(k, a = {b},) and @Book{l} @comment{x} @string{j = {J}}"), Ok(2));
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

    proptest::proptest! {
        #[test]
        fn any_text_ends(text in "[@{}(),=\"# a\n]{0,60}") {
            let _ = entries(&text);
        }
    }
}
