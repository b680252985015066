//! Who a caller is: passwords, sessions, tokens, cookies, API keys and invitations, and everything that must not pass for one of them.

mod api_keys;
mod cookies;
mod invitations;
mod inviters;
mod key_terms;
mod makers;
mod operators;
mod passwords;
mod personal_keys;
mod recovery;
mod rotation;
mod searching;
mod service_accounts;
mod sessions;
mod sign_ins;
mod signing_keys;

mod spellings;
mod tokens;
