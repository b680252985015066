//! What each address does: translate, call the plane, translate back. One noun is one file.

pub(crate) mod oauth;
