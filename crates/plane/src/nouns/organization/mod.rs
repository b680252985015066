//! Organizations, and what belongs to one as a whole.

pub mod approvals;
pub mod billing;
pub mod holds;
pub mod organization_limits;
pub mod organizations;
pub mod recovery;
pub mod requirements;
pub mod search;
pub mod webhooks;
