//! From the text of `--where` to an expression. The grammar is in [`super`]'s documentation.

use crate::registry::values::prefix;

use super::{Comparison, Error, Expression, Pattern, Value, field, is_number};

/// Parentheses and `not`s within each other.
const MAX_DEPTH: usize = 64;
/// Characters of a query.
const MAX_LENGTH: usize = 10_000;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(f64),
    Compare(Comparison),
    Open,
    Close,
    End,
}

/// Reads a whole query.
pub(super) fn query(text: &str) -> Result<Expression, Error> {
    let mut parser = Parser { text, tokens: Vec::new(), at: 0, depth: 0 };
    if text.len() > MAX_LENGTH {
        let message = format!("the query is longer than {MAX_LENGTH} bytes");
        return Err(Error { text: String::new(), column: 0, message, hint: None });
    }
    parser.tokens = tokens(text).map_err(|(column, message)| parser.error_at(column, message))?;
    let expression = parser.or()?;
    match parser.peek() {
        Token::End => Ok(expression),
        _ => Err(parser.error("expected `and`, `or` or the end")),
    }
}

type Placed = (usize, Token);

fn tokens(text: &str) -> Result<Vec<Placed>, (usize, String)> {
    let signs: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = signs.get(at) {
        let start = at;
        let next = signs.get(at + 1).copied();
        let run = |from: usize, fits: &dyn Fn(char) -> bool| {
            signs.iter().skip(from).take_while(|c| fits(**c)).collect::<String>()
        };
        let token = match c {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '(' => (1, Token::Open),
            ')' => (1, Token::Close),
            '<' if next == Some('=') => (2, Token::Compare(Comparison::LessOrEqual)),
            '<' => (1, Token::Compare(Comparison::Less)),
            '>' if next == Some('=') => (2, Token::Compare(Comparison::GreaterOrEqual)),
            '>' => (1, Token::Compare(Comparison::Greater)),
            '=' if next == Some('=') => (2, Token::Compare(Comparison::Equal)),
            '=' => (1, Token::Compare(Comparison::Equal)),
            '!' if next == Some('=') => (2, Token::Compare(Comparison::NotEqual)),
            '!' if next == Some('~') => (2, Token::Compare(Comparison::ContainsNot)),
            '~' => (1, Token::Compare(Comparison::Contains)),
            '!' => (1, Token::Word("not".into())),
            '&' if next == Some('&') => (2, Token::Word("and".into())),
            '|' if next == Some('|') => (2, Token::Word("or".into())),
            '"' | '\'' => {
                let inside = run(at + 1, &|other| other != c);
                let length = inside.chars().count();
                if signs.get(at + 1 + length).is_none() {
                    return Err((start, "this text has no closing quote".into()));
                }
                (length + 2, Token::Text(inside))
            }
            _ => {
                let word = run(at, &|c| c.is_alphanumeric() || "_-.+%/:*?[]".contains(c));
                if word.is_empty() {
                    return Err((start, format!("`{c}` has no meaning here")));
                }
                (word.chars().count(), number(&word).map_or(Token::Word(word), Token::Number))
            }
        };
        at += token.0;
        tokens.push((start, token.1));
    }
    tokens.push((signs.len(), Token::End));
    Ok(tokens)
}

/// `10`, `10M`, `1.5e6`, `20MB`, `80%`.
fn number(word: &str) -> Option<f64> {
    if !word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    let digits = word.trim_end_matches(|c: char| c == '%' || c.is_ascii_alphabetic());
    let scale = match word.get(digits.len()..)? {
        "" => 1.0,
        other => unit(other)?,
    };
    digits.parse::<f64>().ok().map(|n| n * scale).filter(|n| n.is_finite())
}

/// What a unit stands for. `B` alone is a billion; behind a prefix it is bytes.
fn unit(word: &str) -> Option<f64> {
    match word.to_ascii_lowercase().as_str() {
        "%" => Some(1.0),
        bytes @ ("kb" | "mb" | "gb" | "tb") => prefix(bytes.trim_end_matches('b')),
        word => prefix(word),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, t)| t)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// Takes a keyword, in any case.
    fn word(&mut self, keyword: &str) -> bool {
        let is = matches!(self.peek(), Token::Word(w) if w.eq_ignore_ascii_case(keyword));
        self.at += usize::from(is);
        is
    }

    /// Where the token is that comes next.
    fn column(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.chars().count(), |(column, _)| *column)
    }

    fn error(&self, message: &str) -> Error {
        self.error_at(self.column(), message.to_owned())
    }

    fn error_at(&self, column: usize, message: String) -> Error {
        Error { text: self.text.to_owned(), column, message, hint: None }
    }

    fn or(&mut self) -> Result<Expression, Error> {
        let mut all = vec![self.and()?];
        while self.word("or") {
            all.push(self.and()?);
        }
        Ok(one_or(all, Expression::Or))
    }

    fn and(&mut self) -> Result<Expression, Error> {
        let mut all = vec![self.not()?];
        while self.word("and") {
            all.push(self.not()?);
        }
        Ok(one_or(all, Expression::And))
    }

    fn not(&mut self) -> Result<Expression, Error> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error("more than 64 levels of parentheses and `not`"));
        }
        self.depth += 1;
        let expression = if self.word("not") {
            Expression::Not(Box::new(self.not()?))
        } else if *self.peek() == Token::Open {
            self.at += 1;
            let inner = self.or()?;
            if *self.peek() != Token::Close {
                return Err(self.error("expected `)`"));
            }
            self.at += 1;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn comparison(&mut self) -> Result<Expression, Error> {
        let Token::Word(name) = self.peek().clone() else {
            return Err(self.error("expected a field, such as `params`"));
        };
        let name = field(&name)
            .map_err(|hint| Error { hint: Some(hint), ..self.error(&format!("`{name}` is not a field")) })?;
        self.at += 1;
        if self.word("is") {
            let not = self.word("not");
            if !self.word("null") {
                return Err(self.error("expected `null`"));
            }
            let is_null = Expression::IsNull(name);
            return Ok(if not { Expression::Not(Box::new(is_null)) } else { is_null });
        }
        let Token::Compare(comparison) = *self.peek() else {
            return Err(self.error("expected one of `<`, `<=`, `>`, `>=`, `=`, `!=`, `~`, `!~`, `is`"));
        };
        let contains = match comparison {
            Comparison::Contains => Some(true),
            Comparison::ContainsNot => Some(false),
            _ => None,
        };
        if contains.is_some() && is_number(name) {
            return Err(self.error(&format!("`{name}` is a number, which contains nothing")));
        }
        self.at += 1;
        let place = self.at;
        let value = match self.next() {
            Token::Number(n) if is_number(name) => {
                // `10 M` is `10M`.
                let scale = match self.peek() {
                    Token::Word(word) => unit(word),
                    _ => None,
                };
                self.at += usize::from(scale.is_some());
                Value::Number(n * scale.unwrap_or(1.0))
            }
            Token::Text(t) | Token::Word(t) if !is_number(name) => Value::Text(t),
            Token::Number(_) if !is_number(name) => Value::Text(self.written(place)),
            _ => {
                self.at = place;
                let kind = example(name);
                return Err(self.error(&format!("`{name}` is compared with {kind}")));
            }
        };
        match (contains, value) {
            (Some(wanted), Value::Text(text)) => {
                let pattern: Pattern = text.parse().map_err(|message| {
                    self.at = place;
                    self.error_at(self.column(), message)
                })?;
                Ok(Expression::Matches(name, wanted, pattern))
            }
            (_, value) => Ok(Expression::Compare(name, comparison, value)),
        }
    }

    /// The characters of a token as typed.
    fn written(&self, token: usize) -> String {
        let place = |at: usize| self.tokens.get(at).map(|(column, _)| *column);
        let (Some(from), Some(to)) = (place(token), place(token + 1)) else { return String::new() };
        let all = self.text.chars().skip(from).take(to - from).collect::<String>();
        all.trim_end().to_owned()
    }
}

/// What a field is compared with.
fn example(field: &str) -> &'static str {
    match field {
        "top1" | "top5" => "a percentage, such as `80`",
        "image_size" => "pixels, such as `224`",
        "crop_pct" => "a share, such as `0.875`",
        "file_size" => "bytes, such as `20MB`",
        _ if is_number(field) => "a number, such as `10M`",
        _ => "a text",
    }
}

fn one_or(mut all: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match (all.len(), all.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            all.extend(last);
            many(all)
        }
    }
}
