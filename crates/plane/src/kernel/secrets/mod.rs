//! Credentials: how each is made, kept, proved and known again.

pub mod attempts;
pub mod credential_cache;
pub mod credentials;
pub mod encryption;
pub mod guessable;
pub mod key_format;
pub mod key_terms;
pub mod passwords;
pub mod signing_keys;
pub mod tokens;
pub mod usage;
