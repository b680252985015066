//! How far a deletion is, how fast it goes, and what it waits for.

use std::time::Duration;

/// How long an open deletion may make no progress before it is called stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);
