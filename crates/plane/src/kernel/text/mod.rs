//! Texts as they come in and go out: ids, names, fields, pages, tags, schemas.

pub mod destinations;
pub mod fields;
pub mod hex;
pub mod ids;
pub mod normal_forms;
pub mod page;
pub mod revisions;
pub mod wire;
