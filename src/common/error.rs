//! The one error type of the library's edge, and the class that decides a command's exit code.
//!
//! Every module has its own enum whose variants say which file, tensor or key, where, what was expected
//! and what was found. They meet here, and nowhere else is an exit code chosen for an error.

/// What kind of failure it is; the exit code follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The command line asks for something that cannot be asked: 2.
    Usage,
    /// Malformed, hostile, mismatching, unknown or missing data: 3.
    BadInput,
    /// Network, disk, permissions: 4.
    World,
    /// Stopped by the user, and resumable: 130.
    Interrupted,
}

impl Class {
    /// The process exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Class::Usage => 2,
            Class::BadInput => 3,
            Class::World => 4,
            Class::Interrupted => 130,
        }
    }
}

/// Says what kind of failure an error is, and what to do about it.
pub trait Classify: std::error::Error {
    /// What kind of failure it is.
    fn class(&self) -> Class;

    /// One line on what to do next, where there is something better than the message itself.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Any error of the library.
#[derive(Debug)]
pub struct Error(Box<dyn Classify + Send + Sync + 'static>);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl Error {
    /// What kind of failure it is.
    pub fn class(&self) -> Class {
        self.0.class()
    }

    /// One line on what to do next.
    pub fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    /// Several failures in one run, listed; the class is the gravest: interrupted, then bad input, then the
    /// world, then usage.
    pub fn several(errors: Vec<Error>) -> Self {
        Error(Box::new(Several(errors)))
    }

    /// A mistake on the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Error(Box::new(Usage(message.into())))
    }
}

impl<E: Classify + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Error(Box::new(error))
    }
}

/// What the library's edge returns.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

impl Classify for Usage {
    fn class(&self) -> Class {
        Class::Usage
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{} failed:\n{}", .0.len(), .0.iter().map(|e| format!("- {e}")).collect::<Vec<_>>().join("\n"))]
struct Several(Vec<Error>);

impl Classify for Several {
    fn class(&self) -> Class {
        let has = |class| self.0.iter().any(|e| e.class() == class);
        let order = [Class::Interrupted, Class::BadInput, Class::World];
        order.into_iter().find(|&c| has(c)).unwrap_or(Class::Usage)
    }

    fn hint(&self) -> Option<String> {
        self.0.iter().find_map(Error::hint)
    }
}
