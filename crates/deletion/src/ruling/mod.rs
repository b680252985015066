//! What is ruled: the form of the rules, the keys of rows, and whether the rules cover a schema.

pub(crate) mod coverage;
pub(crate) mod key;
pub(crate) mod rules;
