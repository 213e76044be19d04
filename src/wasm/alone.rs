//! What one thread alone can come to.

/// A static of a VM.
pub struct Alone<T>(pub T);

// SAFETY: a VM has one thread, and wasm32-wasip1 knows no others.
#[allow(
    unsafe_code,
    reason = "what the target promises is beyond what the compiler sees"
)]
unsafe impl<T> Sync for Alone<T> {}
