//! How answers are written: records in the spelling of a surface, errors, streams, ranges.

pub(crate) mod answers;
pub(crate) mod blocker_links;
pub(crate) mod browsers;
pub(crate) mod deletion_events;
pub(crate) mod dialect;
pub(crate) mod error_pages;
pub(crate) mod lasting;
pub(crate) mod problem;
pub(crate) mod ranges;
pub(crate) mod schema;
