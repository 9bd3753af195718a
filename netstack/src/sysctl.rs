//! Kernel settings under `/proc/sys`.
use std::fmt;
use std::fs;
use std::path::Path;

/// A setting that could not be made.
#[derive(Debug)]
pub struct Error {
    key: String,
    value: String,
    cause: std::io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sysctl {} = {}: {}", self.key, self.value, self.cause)
    }
}

impl std::error::Error for Error {}

/// Sets `net/ipv4/ip_forward` (slashes, so that interface names may hold dots) unless it has that value; says
/// whether it wrote.
///
/// # Errors
/// When the key does not exist, or the value is refused.
pub fn set(key: &str, value: &str) -> Result<bool, Error> {
    let path = Path::new("/proc/sys").join(key);
    if fs::read_to_string(&path).is_ok_and(|old| old.trim() == value) {
        return Ok(false);
    }
    // Without O_CREAT: a key that does not exist is "not found", not "permission denied".
    let written = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes()));
    written.map(|()| true).map_err(|cause| Error { key: key.to_owned(), value: value.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_error_names_key_and_value() {
        let error = super::set("net/ipv4/no_such_key", "1").unwrap_err().to_string();
        assert!(error.starts_with("sysctl net/ipv4/no_such_key = 1: "), "{error}");
    }
}
