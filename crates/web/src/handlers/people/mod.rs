//! Of people, and of what programs present.

pub(crate) mod api_keys;
pub(crate) mod auth;
pub(crate) mod invitations;
pub(crate) mod members;
pub(crate) mod oauth;
pub(crate) mod users;
