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
    let different = sql!(
        "SELECT organization_id, {columns} FROM billing_subscriptions AS own
         WHERE subject_id IS NULL AND ended_at IS NULL AND quantity IS NOT NULL
           AND quantity <> (SELECT (SELECT count(*) FROM members
                                    WHERE members.organization_id = billing_terms.organization_id AND state = 'live'
                                      AND seat_roles LIKE '%,' || role || ',%')
                            FROM billing_terms WHERE billing_terms.organization_id = own.organization_id AND seat_roles <> '')
           AND EXISTS (SELECT 1 FROM organizations WHERE organizations.id = own.organization_id AND state = 'live' AND archived_at IS NULL)
           AND NOT EXISTS (SELECT 1 FROM effects WHERE effects.organization_id = own.organization_id AND effects.queue_id = own.id
                                                   AND action = 'subscription.set_quantity' AND state <> 'delivered' AND NOT is_given_up)
         ORDER BY organization_id, id LIMIT $1",
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
