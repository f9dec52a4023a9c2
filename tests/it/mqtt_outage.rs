//! The broker is away, or the daemon is.
