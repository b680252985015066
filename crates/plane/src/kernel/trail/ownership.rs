//! Changes of who owns an organization: its record shows them, and no column of its own row holds them.

use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::events::Event;
use crate::payloads::OrganizationEvent;
use crate::{Cx, Result, notify};

/// Counts a change of what the organization's record shows that did not happen in its own row: who owns it.
pub(crate) async fn count_change(cx: &Cx, tx: &mut Tx, organization: Uuid) -> Result<()> {
    let statement = sql!("UPDATE organizations SET updated_at = $2, revision = revision + 1 WHERE id = $1");
    tx.execute(statement, params![organization, cx.now]).await?;
    notify::emit(cx, tx, organization, Event::OrganizationUpdated, notify::About::Other(organization), OrganizationEvent::of(organization))
        .await
        .map(drop)
}
