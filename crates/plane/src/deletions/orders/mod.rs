//! What is asked and done when a deletion is ordered.

pub(crate) mod approval_rows;
pub(crate) mod effects;
pub(crate) mod export_orders;
pub(crate) mod guards;
pub(crate) mod ordering;
pub(crate) mod requirements_check;
pub(crate) mod subscriptions;
