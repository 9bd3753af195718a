//! Errors of the host tool: what went wrong, why, and what to do next.
use std::fmt;
use std::path::Path;

/// What went wrong and what the person at the keyboard can do about it.
#[derive(Debug)]
pub struct Error {
    what: String,
    next: Option<String>,
}

/// The result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with no better advice than its own words.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), next: None }
    }

    /// The same error with the advice that belongs to it.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.next {
            Some(next) => write!(f, "\n  what to do: {next}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Says what was being done when a lower error came up.
pub trait Context<T> {
    /// `doing` completes the sentence "cannot ...".
    ///
    /// # Errors
    /// The given error, with the words around it.
    fn cannot(self, doing: impl FnOnce() -> String) -> Result<T>;

    /// The same for a file: "cannot `verb` `path`".
    ///
    /// # Errors
    /// The given error, with the words around it.
    fn cannot_file(self, verb: &str, path: &Path) -> Result<T>
    where
        Self: Sized,
    {
        self.cannot(|| format!("{verb} {}", path.display()))
    }
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn cannot(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::new(format!("cannot {}: {error}", doing())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_do() {
        let error = Error::new("port 5300 is in use").next("stop it");
        assert_eq!(error.to_string(), "port 5300 is in use\n  what to do: stop it");
        let failed: std::result::Result<(), &str> = Err("no space");
        assert_eq!(failed.cannot_file("write", Path::new("a")).unwrap_err().to_string(), "cannot write a: no space");
    }
}
