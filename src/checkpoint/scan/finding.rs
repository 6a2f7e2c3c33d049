//! What a survey notes: imports, and parts that were not looked into. Made by [`super::survey`], printed by `render`.

use crate::checkpoint::error::shortened;
use crate::checkpoint::pickle::ImportClass;

/// What a file was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing in it is outside the known set. Never to be called safe.
    Known,
    /// It names something that zoo does not know, or has a part that was not looked into.
    Unknown,
    /// It names something that runs code.
    Dangerous,
    /// It is broken, or could be read in two ways.
    Malformed,
}

impl Answer {
    /// As printed.
    pub const fn name(self) -> &'static str {
        match self {
            Answer::Known => "known",
            Answer::Unknown => "unknown",
            Answer::Dangerous => "dangerous",
            Answer::Malformed => "malformed",
        }
    }
}

/// Something that loading the file would import or call, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The member it is in; members of archives inside of archives after a `!`.
    pub member: Option<String>,
    /// The module, as the file has it.
    pub module: String,
    /// The name inside it, dots included.
    pub name: String,
    /// Byte of the member, or of the file, where it is first named.
    pub offset: u64,
    /// What zoo thinks of it.
    pub verdict: ImportClass,
    /// What loading the file would have done with it.
    pub effect: String,
}

impl Found {
    /// `module.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.module, self.name)
    }
}

/// A part of a file that was not looked into, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unscanned {
    /// The member; none where it is a part of the file itself.
    pub member: Option<String>,
    /// From which byte of it on.
    pub offset: u64,
    /// What it is, or why it was left.
    pub reason: String,
}

impl std::fmt::Display for Unscanned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.member {
            Some(member) => write!(f, "`{}` from byte {}", shortened(member), self.offset)?,
            None => write!(f, "the file from byte {}", self.offset)?,
        }
        write!(f, ": {}", self.reason)
    }
}
