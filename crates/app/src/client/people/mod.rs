//! Of people and customers, and of what programs present.

pub(crate) mod apps;
pub(crate) mod customers;
pub(crate) mod deletions;
pub(crate) mod invites;
pub(crate) mod keys;
pub(crate) mod members;
pub(crate) mod purging;
pub(crate) mod sessions;
pub(crate) mod users;
