//! An error at a place of a file. Must not depend on other modules.

/// An error at a place of a file.
#[derive(Clone, Debug)]
pub struct SourceError {
    /// Byte offset in the file.
    pub offset: usize,
    /// The error.
    pub message: String,
}

impl SourceError {
    pub(super) fn new(offset: usize, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { offset, message }
    }
}
