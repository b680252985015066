//! What a clock that was ahead has left. A lease or a next attempt that lies further ahead than it can while clocks are right counts as over:
//! otherwise nothing would be done about it until the time comes that the clock showed.

use std::time::Duration;

use sql::{Statement, params, sql};

use crate::cx::Cx;
use crate::drain::LONGEST_NAP;
use crate::exports::LONGEST_PAUSE;
use crate::outbox::{LONGEST_RETRY, PATIENCE};
use crate::{Config, Result};
use deletion::after;

/// A column with times that a server sets ahead of itself, and waits for.
pub struct Timer {
    /// Its table.
    pub table: &'static str,
    /// Its name.
    pub column: &'static str,
    /// How far ahead it is set at the most.
    furthest: fn(&Config) -> Duration,
    /// Sets it to now, `$1`, where it is further ahead than `$2`.
    pull_back: Statement,
}

impl Timer {
    /// How far ahead a server with these settings sets it at the most.
    pub(crate) fn furthest(&self, config: &Config) -> Duration {
        (self.furthest)(config)
    }
}

/// All of them.
pub const TIMERS: [Timer; 3] = [
    Timer {
        table: "deletions",
        column: "lease_until",
        furthest: |config| config.lease.max(LONGEST_NAP),
        pull_back: sql!("UPDATE deletions SET lease_until = $1 WHERE state IN ('closed', 'draining') AND lease_until > $2"),
    },
    Timer {
        table: "effects",
        column: "next_attempt_at",
        furthest: |config| LONGEST_RETRY.max(2 * PATIENCE + config.lease),
        pull_back: sql!("UPDATE effects SET next_attempt_at = $1 WHERE state = 'pending' AND next_attempt_at > $2"),
    },
    Timer {
        table: "exports",
        column: "lease_until",
        furthest: |config| config.lease.max(LONGEST_PAUSE),
        pull_back: sql!("UPDATE exports SET lease_until = $1 WHERE state IN ('waiting', 'running') AND lease_until > $2"),
    },
];

/// Ends what is further ahead than it can be. A worker that holds one of them after all finds that another has taken it over.
///
/// # Errors
/// The database's.
pub(crate) async fn pull_back(cx: &Cx) -> Result<()> {
    let rows = cx
        .write_behind(false, async move |cx, tx| {
            let mut rows = 0;
            for timer in TIMERS {
                let furthest = after(cx.now, timer.furthest(&cx.plane.config));
                rows += tx.execute(timer.pull_back, params![cx.now, furthest]).await?;
            }
            Ok(rows)
        })
        .await?;
    if rows > 0 {
        tracing::warn!(rows, "leases and next attempts were further ahead than they can be, and are over: a clock was wrong");
    }
    Ok(())
}
