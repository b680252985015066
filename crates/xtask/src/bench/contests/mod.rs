//! What is measured, a file a contest.

pub(crate) mod deletions;
pub(crate) mod exports;
pub(crate) mod footprint;
pub(crate) mod group_commit;
pub(crate) mod neighbour;
pub(crate) mod outside;
pub(crate) mod reads;
pub(crate) mod removals;
pub(crate) mod sizes;
pub(crate) mod slices;
pub(crate) mod small_beside_large;
