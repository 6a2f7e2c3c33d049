//! The Python literal in a `.npy` header, as `ast.literal_eval` reads it: strings in every spelling, numbers, tuples,
//! lists, dicts. In: text. Out: a [`Literal`], or `None` where it is none. Called by [`super::npy`].

use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    None,
    Bool(bool),
    Int(i64),
    Text(String),
    Tuple(Vec<Literal>),
    List(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

impl fmt::Display for Literal {
    /// As Python writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |f: &mut fmt::Formatter<'_>, items: &[Literal]| {
            items.iter().enumerate().try_for_each(|(i, item)| {
                f.write_str(if i > 0 { ", " } else { "" })?;
                item.fmt(f)
            })
        };
        match self {
            Literal::None => f.write_str("None"),
            Literal::Bool(value) => f.write_str(if *value { "True" } else { "False" }),
            Literal::Int(value) => value.fmt(f),
            Literal::Text(text) => write!(f, "'{}'", text.escape_debug()),
            Literal::Tuple(items) => {
                f.write_str("(")?;
                all(f, items)?;
                f.write_str(if items.len() == 1 { ",)" } else { ")" })
            }
            Literal::List(items) => {
                f.write_str("[")?;
                all(f, items)?;
                f.write_str("]")
            }
            Literal::Dict(entries) => {
                f.write_str("{")?;
                entries.iter().enumerate().try_for_each(|(i, (key, value))| {
                    write!(f, "{}{key}: {value}", if i > 0 { ", " } else { "" })
                })?;
                f.write_str("}")
            }
        }
    }
}

/// Levels of brackets at most.
const MAX_DEPTH: usize = 32;

/// Reads a whole literal.
pub(super) fn parse(text: &str) -> Option<Literal> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.blank();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
            if !self.rest.starts_with('#') {
                return;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    fn eat(&mut self, token: &str) -> bool {
        self.blank();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Literal> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.blank();
        if self.eat("(") {
            let (items, commas) = self.items(depth, ")")?;
            // Brackets around one value without a comma are only brackets.
            return match (commas, <[Literal; 1]>::try_from(items)) {
                (false, Ok([one])) => Some(one),
                (_, Ok([one])) => Some(Literal::Tuple(vec![one])),
                (_, Err(items)) => Some(Literal::Tuple(items)),
            };
        }
        if self.eat("[") {
            return Some(Literal::List(self.items(depth, "]")?.0));
        }
        if self.eat("{") {
            let mut entries = Vec::new();
            while !self.eat("}") {
                let key = self.value(depth + 1)?;
                if !self.eat(":") {
                    return None;
                }
                entries.push((key, self.value(depth + 1)?));
                if !self.eat(",") && !self.rest.starts_with('}') {
                    return None;
                }
            }
            return Some(Literal::Dict(entries));
        }
        self.text().or_else(|| self.word())
    }

    /// Values up to a closing bracket, and whether there was a comma.
    fn items(&mut self, depth: usize, close: &str) -> Option<(Vec<Literal>, bool)> {
        let (mut items, mut commas) = (Vec::new(), false);
        while !self.eat(close) {
            items.push(self.value(depth + 1)?);
            if self.eat(",") {
                commas = true;
            } else if !self.rest.starts_with(close) {
                return None;
            }
        }
        Some((items, commas))
    }

    /// One string, or several side by side, which are one.
    fn text(&mut self) -> Option<Literal> {
        let mut all = None;
        loop {
            self.blank();
            let start = self.rest;
            let prefix = self.rest.chars().take_while(char::is_ascii_alphabetic).count();
            let (letters, quoted) = start.split_at_checked(prefix)?;
            let raw = match letters.to_ascii_lowercase().as_str() {
                "" | "u" => false,
                "r" => true,
                _ => return all.map(Literal::Text),
            };
            let quote = match quoted.chars().next() {
                Some(quote @ ('\'' | '"')) => quote,
                _ => return all.map(Literal::Text),
            };
            let triple = quote.to_string().repeat(3);
            let end = if quoted.starts_with(&triple) { triple } else { quote.to_string() };
            self.rest = quoted.get(end.len()..)?;
            let piece = self.string(&end, raw)?;
            all.get_or_insert_with(String::new).push_str(&piece);
        }
    }

    fn string(&mut self, end: &str, raw: bool) -> Option<String> {
        let mut out = String::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix(end) {
                self.rest = rest;
                return Some(out);
            }
            let c = self.next()?;
            if c == '\n' && end.len() == 1 {
                return None;
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let escaped = self.next()?;
            if raw {
                out.extend(['\\', escaped]);
                continue;
            }
            match escaped {
                '\n' => {}
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'a' => out.push('\x07'),
                'b' => out.push('\x08'),
                'f' => out.push('\x0c'),
                'v' => out.push('\x0b'),
                'x' => out.push(self.digits(2, 2, 16)?),
                'u' => out.push(self.digits(4, 4, 16)?),
                'U' => out.push(self.digits(8, 8, 16)?),
                // By its Unicode name: nothing that numpy writes, and no table is kept for it.
                'N' => return None,
                '0'..='7' => {
                    let mut value = escaped.to_digit(8)?;
                    for _ in 0..2 {
                        let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8)) else { break };
                        value = value * 8 + digit;
                        self.next();
                    }
                    out.push(char::from_u32(value)?);
                }
                '\\' | '\'' | '"' => out.push(escaped),
                other => out.extend(['\\', other]),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        Some(c)
    }

    fn digits(&mut self, least: usize, most: usize, radix: u32) -> Option<char> {
        let count = self.rest.chars().take(most).take_while(|c| c.is_digit(radix)).count();
        let (digits, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        (count >= least).then(|| u32::from_str_radix(digits, radix).ok())?.and_then(char::from_u32)
    }

    /// `True`, `None`, a whole number; numpy takes the `L` of Python 2 off one.
    fn word(&mut self) -> Option<Literal> {
        let end =
            self.rest.find(|c: char| !(c.is_alphanumeric() || "_+-".contains(c))).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        match word {
            "None" => return Some(Literal::None),
            "True" => return Some(Literal::Bool(true)),
            "False" => return Some(Literal::Bool(false)),
            _ => {}
        }
        let digits = word.strip_suffix('L').unwrap_or(word);
        let (negative, digits) = match digits.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, digits.strip_prefix('+').unwrap_or(digits)),
        };
        let (radix, digits) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("0x") => (16, digits.get(2..)?),
            Some("0o") => (8, digits.get(2..)?),
            Some("0b") => (2, digits.get(2..)?),
            _ => (10, digits),
        };
        let misplaced = digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
        let leading =
            radix == 10 && digits.starts_with('0') && digits.chars().any(|c| !matches!(c, '0' | '_'));
        if misplaced || leading {
            return None;
        }
        let value = i64::from_str_radix(&digits.replace('_', ""), radix).ok()?;
        Some(Literal::Int(if negative { -value } else { value }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_in_every_spelling() {
        for same in [
            "'O8'",
            "\"O8\"",
            "'''O8'''",
            "u'O8'",
            "r'O8'",
            "'\\x4f8'",
            "'\\u004f8'",
            "'\\1178'",
            "'O' '8'",
            "('O8')",
            "( 'O' # why not\n '8' )",
        ] {
            assert_eq!(parse(same), Some(Literal::Text("O8".into())), "{same}");
        }
        for none in ["'O", "'\\x4'", "b'O'", "f'O'", "'\\N{LATIN CAPITAL LETTER O}'", "O", "'a\nb'", "''''"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    #[test]
    fn containers_and_numbers() {
        let ints = |n: &[i64]| n.iter().map(|&n| Literal::Int(n)).collect::<Vec<_>>();
        assert_eq!(parse("(3, 4L, 0x10, 1_0)"), Some(Literal::Tuple(ints(&[3, 4, 16, 10]))));
        assert_eq!(parse("(3,)"), Some(Literal::Tuple(ints(&[3]))));
        assert_eq!(parse("(3)"), Some(Literal::Int(3)));
        assert_eq!(parse("[]"), Some(Literal::List(vec![])));
        let shown = parse("[ ('a', '<f4', (2,)), {'b': None} ]").unwrap().to_string();
        assert_eq!(shown, "[('a', '<f4', (2,)), {'b': None}]");
        let entry = (Literal::Text("a".into()), Literal::Bool(true));
        assert_eq!(parse("{'a': True, }"), Some(Literal::Dict(vec![entry])));
        for none in ["(1 2)", "[1", "{'a' 1}", "010", "1__0", "f(1)", "1.5", "__import__('os')"] {
            assert_eq!(parse(none), None, "{none}");
        }
        assert_eq!(parse(&"(".repeat(100_000)), None);
    }
}
