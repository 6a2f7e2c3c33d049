//! What the log of a GitHub or Azure workflow takes for a command.
//!
//! In: a text. Out: where in it a command would begin. Called by whatever prints what strangers wrote: the YAML
//! writer, and `render::safe`.

/// Finds where a text would begin a command in the log of a GitHub or Azure workflow: `::` at the start of a
/// line, whatever space is before it, and `##[` or `##vso[` anywhere.
pub struct Commands<'a> {
    fresh: bool,
    rest: std::str::Chars<'a>,
}

impl<'a> Commands<'a> {
    /// What is in a text that starts a line.
    pub fn of(text: &'a str) -> Self {
        Commands { fresh: true, rest: text.chars() }
    }

    /// Of a text that does not begin its line.
    pub fn inside(text: &'a str) -> Self {
        Commands { fresh: false, rest: text.chars() }
    }

    /// Whether one begins at this character, which is the next one.
    pub fn begins(&mut self, c: char) -> bool {
        let here = self.rest.as_str();
        self.rest.next();
        let begins = match c {
            ':' => self.fresh && here.starts_with("::"),
            '#' => here.starts_with("##[") || here.starts_with("##vso["),
            _ => false,
        };
        self.fresh = matches!(c, '\n' | '\r') || (self.fresh && c.is_whitespace());
        begins
    }

    /// Whether one begins anywhere in a text that begins its line.
    pub fn any(text: &str) -> bool {
        let mut commands = Commands::of(text);
        text.chars().any(|c| commands.begins(c))
    }
}
