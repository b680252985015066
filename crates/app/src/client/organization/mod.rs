//! Of an organization as a whole.

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod billing;
pub(crate) mod effects;
pub(crate) mod exports;
pub(crate) mod find;
pub(crate) mod holds;
pub(crate) mod organizations;
pub(crate) mod requirements;
pub(crate) mod retention;
pub(crate) mod webhooks;
