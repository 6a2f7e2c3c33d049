//! Templates: ours and the user's, each with the escaping of what it makes.
//!
//! In: a template and the values it may use. Out: the text. Auto-escape is chosen here, by hand for ours
//! and by extension for the user's, since minijinja's own choice knows nothing of Markdown. Beyond what is
//! escaped by itself there are filters for code that a page shows: `python`, `rust`, `shell`, `link`.

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

use super::safe;
use crate::error::{Class, Classify};

/// What a template makes, and so how values are escaped in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Markdown: values are plain text of one line.
    Markdown,
    /// HTML.
    Html,
    /// XML.
    Xml,
    /// Anything else: only what acts on a terminal is spelt out.
    Text,
}

impl Sink {
    /// By the extension of a file name, with or without `.j2` behind it.
    pub fn of(path: &Path) -> Self {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let name = name.strip_suffix(".j2").or(name.strip_suffix(".jinja")).unwrap_or(name);
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("md" | "mdx" | "markdown") => Sink::Markdown,
            Some("html" | "htm") => Sink::Html,
            Some("xml" | "svg") => Sink::Xml,
            _ => Sink::Text,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Sink::Markdown => "markdown",
            Sink::Html => "html",
            Sink::Xml => "xml",
            Sink::Text => "text",
        }
    }
}

/// A documentation page.
pub const PAGE: Template<'static> =
    Template { name: "page.md.j2", source: include_str!("../../templates/page.md.j2"), sink: Sink::Markdown };

/// A Hugging Face model card.
pub const CARD: Template<'static> =
    Template { name: "card.md.j2", source: include_str!("../../templates/card.md.j2"), sink: Sink::Markdown };

/// A report of a verification.
pub const REPORT: Template<'static> = Template {
    name: "report.html.j2",
    source: include_str!("../../templates/report.html.j2"),
    sink: Sink::Html,
};

/// A template and what it makes.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a> {
    /// For messages.
    pub name: &'a str,
    /// Its text.
    pub source: &'a str,
    /// What it makes.
    pub sink: Sink,
}

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] crate::fs::Error),
    /// It is not UTF-8.
    #[error("template `{}`: not UTF-8", .0.display())]
    Encoding(PathBuf),
    /// It is no template, or asks for what is not there.
    #[error("template `{name}`{}: {message}", line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Template {
        /// The template.
        name: String,
        /// Where, if known.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Read(e) => e.class(),
            _ => Class::BadInput,
        }
    }
}

/// The largest template of a user.
const MAX_BYTES: u64 = 4 << 20;

/// Instructions a template may run: a loop in a loop over a large registry fits, an endless one does not.
const MAX_FUEL: u64 = 50_000_000;

/// Renders `ours`, or the user's own template in its place.
///
/// # Errors
/// [`Error`].
pub fn render(
    ours: Template<'_>,
    theirs: Option<&Path>,
    values: &serde_json::Value,
) -> Result<String, Error> {
    let Some(path) = theirs else { return one(ours, values) };
    let bytes = crate::fs::read(path, MAX_BYTES)?;
    let source = String::from_utf8(bytes).map_err(|_| Error::Encoding(path.to_owned()))?;
    let name = path.display().to_string();
    one(Template { name: &name, source: &source, sink: Sink::of(path) }, values)
}

fn one(template: Template<'_>, values: &serde_json::Value) -> Result<String, Error> {
    let failed = |e: minijinja::Error| Error::Template {
        name: template.name.to_owned(),
        line: e.line(),
        message: e.detail().map_or_else(|| e.kind().to_string(), |detail| format!("{}: {detail}", e.kind())),
    };
    let sink = template.sink;
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    environment.set_syntax(syntax.build().map_err(failed)?);
    environment.set_fuel(Some(MAX_FUEL));
    environment.set_auto_escape_callback(move |_| AutoEscape::Custom(sink.name().into()));
    environment.set_formatter(move |out, _, value| {
        if value.is_safe() || value.is_none() {
            return Ok(out.write_str(&text(value))?);
        }
        let text = text(value);
        let escaped = match sink {
            Sink::Markdown => safe::markdown(&text),
            Sink::Html => safe::html(&text),
            Sink::Xml => safe::xml(&text),
            Sink::Text => safe::terminal(&text),
        };
        Ok(out.write_str(&escaped)?)
    });
    fn literal(escape: fn(&str) -> String) -> impl Fn(String) -> Value + Send + Sync + 'static {
        move |text: String| Value::from_safe_string(escape(&text))
    }
    environment.add_filter("python", literal(safe::python));
    environment.add_filter("rust", literal(safe::rust));
    environment.add_filter("shell", literal(|text| safe::shell(text).into_owned()));
    environment.add_filter("link", literal(|text| safe::link(text).unwrap_or_default().into_owned()));
    environment.add_template(template.name, template.source).map_err(failed)?;
    environment.get_template(template.name).and_then(|t| t.render(Value::from(Serde(values)))).map_err(failed)
}

/// A value's text; nothing for none.
fn text(value: &Value) -> String {
    if value.is_none() { String::new() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(source: &str, sink: Sink) -> Result<String, Error> {
        let hostile = "</script>|::error `x`\u{1b}[31m\n=cmd";
        one(Template { name: "t", source, sink }, &serde_json::json!({ "x": hostile, "list": [1, 2] }))
    }

    #[test]
    fn values_are_escaped_for_what_the_template_makes() {
        let markdown = made("{{ x }}", Sink::Markdown).unwrap();
        assert_eq!(markdown, "&lt;/script&gt;\\|::error \\`x\\`\\u{1b}\\[31m\\u{a}\\=cmd");
        assert!(!made("{{ x }}", Sink::Html).unwrap().contains(['<', '\u{1b}']));
        assert!(!made("{{ x }}", Sink::Text).unwrap().contains(['\n', '\u{1b}']));
        assert!(!made("{{ x|python }} {{ x|shell }} {{ x|rust }}", Sink::Markdown).unwrap().contains('\n'));
        assert_eq!(made("{% for i in list %}{{ i }},{% endfor %}", Sink::Markdown).unwrap(), "1,2,");
    }

    #[test]
    fn a_template_that_is_wrong_says_where() {
        let error = made("a\n{{ nothing }}", Sink::Text).unwrap_err();
        assert!(error.to_string().starts_with("template `t`, line 2: undefined value"), "{error}");
        let error = made("{% for %}", Sink::Text).unwrap_err();
        assert!(error.to_string().contains("syntax error"), "{error}");
        let endless = "{% for a in range(10000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
        assert!(made(endless, Sink::Text).is_err());
    }

    #[test]
    fn a_user_s_template_is_known_by_its_name() {
        for (name, sink) in [("a.md", Sink::Markdown), ("a.html.j2", Sink::Html), ("a", Sink::Text)] {
            assert_eq!(Sink::of(Path::new(name)), sink);
        }
    }
}
