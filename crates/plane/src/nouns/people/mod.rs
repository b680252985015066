//! People: accounts, memberships, invitations, sessions.

pub mod invitations;
pub mod members;
pub mod preferences;
pub mod sessions;
pub mod users;
