//! Locks, and the order in which they are taken: first the keys of holds and revocations, then organizations, then memberships and customers, then
//! what hangs on them, then users. Of several of a kind those with the lower ids go first.

use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::ids::is_reference;
use crate::{Error, Result};

/// Keeps holds out of an organization until the end of this transaction, which is about to erase what it finds no hold on. Waits for
/// transactions that are placing one, so it is to be called before the transaction locks any row of the organization or of what a hold can
/// be placed on.
///
/// # Errors
/// The database's.
pub(crate) async fn keep_holds_out(tx: &mut Tx, organization: Uuid) -> Result<()> {
    Ok(tx.share(organization).await?)
}

/// The same for jobs, which have others to care for meanwhile: returns false where a transaction is placing one.
///
/// # Errors
/// The database's.
pub(crate) async fn try_keep_holds_out(tx: &mut Tx, organization: Uuid) -> Result<bool> {
    Ok(tx.try_share(organization).await?)
}

/// Touches the user's row: until this transaction ends the user is not deleted. Part of every transaction that gives them something.
pub(crate) async fn hold_user(tx: &mut Tx, user: Uuid) -> Result<()> {
    let statement = sql!("UPDATE users SET state = 'live' WHERE id = $1 AND state = 'live'");
    match tx.execute(statement, params![user]).await? {
        0 => Err(Error::Unauthenticated),
        _ => Ok(()),
    }
}

/// Touches the row of a customer who is there, softly deleted or not, and returns its id: a deletion under way is waited for, and one that
/// comes after this transaction finds what was filed under the customer.
pub(crate) async fn hold_customer(tx: &mut Tx, organization: Uuid, reference: &str) -> Result<Option<Uuid>> {
    if !is_reference(reference) {
        return Ok(None);
    }
    let statement = sql!(
        "UPDATE customers SET version = version + 1 WHERE organization_id = $1 AND reference = $2 AND state IN ('live', 'deleted') RETURNING id"
    );
    Ok(tx.read_opt(statement, params![organization, reference]).await?)
}
