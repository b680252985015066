//! Who may do what, and the locks under which that is confirmed.

pub mod access;
pub mod authority;
pub mod fairness;
pub mod known_limits;
pub mod locks;
pub mod makers;
pub mod policy;
pub mod principal;
pub mod quotas;
pub mod requirement_terms;
pub mod standing;
