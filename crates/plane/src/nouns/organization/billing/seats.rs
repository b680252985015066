//! Members who count as seats: the quantity of the organization's own subscription follows their number.

use std::sync::Arc;

use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::cx::Actor;
use crate::subscription_steps::{Linked, Step, Terms, queue};
use crate::{Cx, Plane, Result};

/// Quantities that one round brings up to date.
const QUANTITIES: i64 = 500;

/// How many members of an organization count as seats; none where none are counted.
pub(super) async fn count_seats(tx: &mut Tx, organization: Uuid) -> Result<Option<i64>> {
    let statement = sql!(
        "SELECT (SELECT count(*) FROM members
                 WHERE members.organization_id = billing_terms.organization_id AND state = 'live' AND seat_roles LIKE '%,' || role || ',%')
         FROM billing_terms WHERE organization_id = $1 AND seat_roles <> ''"
    );
    Ok(tx.read_opt(statement, params![organization]).await?)
}

/// The number of seats at this moment: asked for when it is told, and not before.
///
/// # Errors
/// The database's.
pub async fn seats(plane: &Arc<Plane>, organization: Uuid) -> Result<Option<i64>> {
    let cx = Cx::new(plane, "billing").with_actor(Actor::System);
    cx.read(async move |_, tx| count_seats(tx, organization).await).await
}

/// Puts into the outbox that the quantity of subscriptions becomes the number of seats, where the two differ.
///
/// # Errors
/// The database's.
pub(crate) async fn follow_seats(cx: &Cx) -> Result<()> {
    // The newest of the organization's own; what was tried in vain is not tried on by itself.
    let different = sql!(
        "SELECT own.organization_id, {columns}
         FROM billing_terms JOIN billing_subscriptions AS own
              ON own.organization_id = billing_terms.organization_id
             AND own.id = (SELECT newest.id FROM billing_subscriptions AS newest
                           WHERE newest.organization_id = billing_terms.organization_id AND newest.subject_id IS NULL AND newest.ended_at IS NULL
                           ORDER BY newest.id DESC LIMIT 1)
         WHERE seat_roles <> '' AND quantity IS NOT NULL
           AND quantity <> (SELECT count(*) FROM members
                            WHERE members.organization_id = billing_terms.organization_id AND state = 'live' AND seat_roles LIKE '%,' || role || ',%')
           AND EXISTS (SELECT 1 FROM organizations WHERE organizations.id = own.organization_id AND state = 'live' AND archived_at IS NULL)
           AND NOT EXISTS (SELECT 1 FROM effects WHERE effects.organization_id = own.organization_id AND effects.queue_id = own.id
                                                   AND action = 'subscription.set_quantity' AND effects.state <> 'delivered')
         ORDER BY own.organization_id LIMIT $1",
        Linked
    );
    let found: Vec<(Uuid, Linked)> = cx.read(async move |_, tx| Ok(tx.read_all(different, params![QUANTITIES]).await?)).await?;
    for (organization, linked) in found {
        cx.write_behind(false, async move |cx, tx| {
            queue(cx, tx, organization, &linked, (Step::SetQuantity, None), &Terms::default()).await
        })
        .await?;
    }
    Ok(())
}
