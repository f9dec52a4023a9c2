//! The daemon can take in nothing for a while: the broker keeps what it has.
