//! What a deletion will do: its statements, its counts, and the token of a plan.

pub(crate) mod cascade_groups;
pub(crate) mod counting;
pub(crate) mod plan;
pub(crate) mod plan_token;
