//! What programs present: API keys, OAuth apps and their tokens.

pub mod api_keys;
pub mod oauth_apps;
pub mod oauth_tokens;
pub mod signing_key_rotation;
