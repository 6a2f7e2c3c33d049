//! What every verb gets: the global options, the data sink (stdout) and the talk sink (stderr).

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::quantity;
use crate::error::{Class, Classify, Result};
use crate::store::{self, RetryPolicy, Store};
use crate::verify::golden::Levels;

/// Options of every verb.
#[derive(Clone, Debug, Args)]
pub struct Globals {
    /// Your own model-index pages: a file, a folder, a model card or a repository; their entries shadow the built-in ones; repeatable
    #[arg(long, global = true, value_name = "PATH")]
    pub registry: Vec<PathBuf>,
    /// Use no network, only what is already on this machine
    #[arg(long, global = true, env = "ZOO_OFFLINE", value_parser = clap::builder::FalseyValueParser::new())]
    pub offline: bool,
    /// Where to look first: BASE (then BASE/FILENAME), or 'FROM => TO' to rewrite the head of a URL
    #[arg(long, global = true, env = "ZOO_MIRROR", value_name = "BASE")]
    pub mirror: Option<String>,
    /// A lock file with full SHA-256 digests of weights; repeatable
    #[arg(long, global = true, value_name = "FILE")]
    pub lock: Vec<PathBuf>,
    /// Take only weights that a `--lock` file pins
    #[arg(long, global = true)]
    pub locked: bool,
    /// How long to wait for another process that fetches the same file, here or on another machine
    #[arg(long, global = true, value_name = "TIME", default_value = "1h", value_parser = quantity::duration, hide_short_help = true)]
    pub wait: Duration,
    /// Silence of a server that counts as a failure
    #[arg(long, global = true, value_name = "TIME", default_value = "20s", value_parser = quantity::some_time, hide_short_help = true)]
    pub stall_timeout: Duration,
    /// Connections at once for a large file [default: as many as make it faster, at most 4]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16), hide_short_help = true)]
    pub connections: Option<u8>,
    /// How progress is shown on stderr
    #[arg(long, global = true, value_enum, default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    /// No progress and no notes
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl Globals {
    /// How progress is shown here: never [`ProgressMode::Auto`] but on a terminal, and nothing under `--quiet`.
    pub fn shown_progress(&self) -> ProgressMode {
        match self.progress {
            _ if self.quiet => ProgressMode::None,
            ProgressMode::Auto if !io::stderr().is_terminal() => ProgressMode::Plain,
            mode => mode,
        }
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, plain lines elsewhere
    Auto,
    /// A line every few seconds
    Plain,
    /// One JSON object per line
    Json,
    /// Nothing
    None,
}

/// What every verb gets.
pub struct Context {
    /// The global options.
    pub globals: Globals,
    /// Columns of the terminal, or of `COLUMNS`; `None` when output goes to a file or pipe.
    pub width: Option<usize>,
    /// Whether stdout may be coloured.
    pub color: bool,
    out: BufWriter<io::Stdout>,
    pipe_closed: bool,
}

/// Writing to stdout failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
struct StdoutError(#[source] io::Error);

impl Classify for StdoutError {
    fn class(&self) -> Class {
        Class::World
    }
}

impl Context {
    /// Looks at the terminal and the environment once.
    pub fn new(globals: Globals) -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).filter(|&c: &usize| c > 0);
        let screen = terminal_size::terminal_size().map(|(w, _)| usize::from(w.0));
        let forced = set("CLICOLOR_FORCE") || set("FORCE_COLOR");
        Context {
            globals,
            width: columns.or(if terminal { screen } else { None }),
            color: !set("NO_COLOR") && (forced || terminal),
            out: BufWriter::new(io::stdout()),
            pipe_closed: false,
        }
    }

    /// The store that the options and the environment ask for.
    ///
    /// # Errors
    /// A mirror or lock that cannot be read, a cache that cannot be made.
    pub fn store(&self) -> Result<Store> {
        Ok(Store::open(self.store_options()?)?)
    }

    /// How the store is set up, for verbs that add to it.
    ///
    /// # Errors
    /// A mirror that cannot be read.
    pub fn store_options(&self) -> Result<store::Options> {
        if self.globals.locked && self.globals.lock.is_empty() {
            return Err(crate::Error::usage(
                "`--locked` needs `--lock FILE`: the lock whose files may be taken",
            ));
        }
        let mirrors = self
            .globals
            .mirror
            .iter()
            .map(|m| m.parse().map_err(crate::Error::from))
            .collect::<crate::Result<_>>()?;
        Ok(store::Options {
            offline: self.globals.offline,
            mirrors,
            locks: self.globals.lock.clone(),
            locked: self.globals.locked,
            progress: super::progress::sink(&self.globals),
            retry: RetryPolicy { stall_timeout: self.globals.stall_timeout, ..RetryPolicy::default() },
            connections: self.globals.connections.map(usize::from),
            wait: self.globals.wait,
            ..store::Options::from_env()
        })
    }

    /// The golden levels of entries. The store is opened only where its home has records.
    ///
    /// # Errors
    /// As [`Context::store`].
    pub fn levels(&self) -> Result<Levels> {
        let kept = store::Options::from_env().home().is_ok_and(|home| Levels::are_kept(&home));
        Ok(Levels::new(if kept { Some(self.store()?) } else { None }))
    }

    /// Writes data to stdout.
    ///
    /// # Errors
    /// Class `World`, unless the reader has gone: then the command ends quietly.
    pub fn print(&mut self, text: impl AsRef<[u8]>) -> Result<()> {
        let result = self.out.write_all(text.as_ref());
        self.written(result)
    }

    /// Writes data and a line end to stdout.
    pub fn println(&mut self, text: impl AsRef<[u8]>) -> Result<()> {
        self.print(text)?;
        self.print("\n")
    }

    /// Writes a JSON document and a line end to stdout; no text in it acts on a terminal.
    pub fn print_json(&mut self, value: &impl serde::Serialize) -> Result<()> {
        let document = serde_json::to_string_pretty(value).unwrap_or_default();
        self.println(crate::render::safe::json(&document).as_ref())
    }

    /// The same of a large document, by code that is optimised for speed, as this crate's is not.
    pub fn print_document(&mut self, document: &serde_json::Value) -> Result<()> {
        self.println(crate::render::safe::pretty(document))
    }

    /// Pushes what is buffered out.
    pub fn flush(&mut self) -> Result<()> {
        let result = self.out.flush();
        self.written(result)
    }

    /// A note for people, on stderr; silent with `-q`. Escaped for terminals.
    pub fn note(&self, text: &str) {
        if !self.globals.quiet {
            let _ = writeln!(io::stderr(), "{}", crate::render::safe::terminal(text));
        }
    }

    /// Notes on what was left out of a file, the first few of them.
    pub fn warn(&self, problems: &crate::registry::tree::Problems) {
        const MAX_SHOWN: usize = 20;
        problems.iter().take(MAX_SHOWN).for_each(|p| self.note(&format!("warning: {p}")));
        let more = (problems.iter().len() + problems.left_out()).saturating_sub(MAX_SHOWN);
        if more > 0 {
            self.note(&format!("warning: and {more} more; `zoo lint` tells all"));
        }
    }

    /// Whether the reader of stdout has gone.
    pub fn pipe_closed(&self) -> bool {
        self.pipe_closed
    }

    fn written(&mut self, result: io::Result<()>) -> Result<()> {
        result.map_err(|e| {
            self.pipe_closed |= e.kind() == io::ErrorKind::BrokenPipe;
            StdoutError(e).into()
        })
    }
}
