//! How a closed deletion goes on to its end.

pub(crate) mod batch;
pub(crate) mod condition;
pub(crate) mod drain;
pub(crate) mod grace;
pub(crate) mod progress;
