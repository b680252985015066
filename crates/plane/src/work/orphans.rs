//! Keys and apps whose maker is gone for good: nothing opens with them any more, and maintenance ends them.

use sql::{Statement, Tx, params, sql};
use uuid::Uuid;

use crate::deletions::{self, Order, Root};
use crate::{Cx, Result};

/// What has lost its maker and is ended in one round of maintenance.
const BATCH: i64 = 100;

/// Ends keys and apps whose maker is gone for good. Nothing opens with them any more.
///
/// # Errors
/// The database's; the next round goes on where this one came to.
pub(crate) async fn end_orphans(cx: &Cx) -> Result<()> {
    let keys = sql!(
        "SELECT organization_id, id FROM api_keys AS made
         WHERE made_by IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM api_keys WHERE api_keys.organization_id = made.organization_id AND api_keys.id = made.made_by)
           AND NOT EXISTS (SELECT 1 FROM oauth_tokens
                           WHERE oauth_tokens.organization_id = made.organization_id AND oauth_tokens.id = made.made_by)
           AND NOT EXISTS (SELECT 1 FROM user_api_keys WHERE user_api_keys.id = made.made_by)
         ORDER BY organization_id, id LIMIT $1"
    );
    let apps = sql!(
        "SELECT organization_id, id FROM oauth_apps AS made
         WHERE made_by IS NOT NULL AND state = 'live'
           AND NOT EXISTS (SELECT 1 FROM api_keys WHERE api_keys.organization_id = made.organization_id AND api_keys.id = made.made_by)
           AND NOT EXISTS (SELECT 1 FROM oauth_tokens
                           WHERE oauth_tokens.organization_id = made.organization_id AND oauth_tokens.id = made.made_by)
           AND NOT EXISTS (SELECT 1 FROM user_api_keys WHERE user_api_keys.id = made.made_by)
         ORDER BY organization_id, id LIMIT $1"
    );
    for (root, statement) in [(Root::ApiKey, keys), (Root::OauthApp, apps)] {
        for (organization, id) in cx.read(async move |_, tx| find(tx, statement).await).await? {
            cx.write_as_server(async move |cx, tx| end(cx, tx, root, organization, id).await).await?;
        }
    }
    Ok(())
}

async fn find(tx: &mut Tx, statement: Statement) -> Result<Vec<(Uuid, Uuid)>> {
    Ok(tx.read_all(statement, params![BATCH]).await?)
}

async fn end(cx: &Cx, tx: &mut Tx, root: Root, organization: Uuid, id: Uuid) -> Result<()> {
    // Takes the row's lock: a transaction that deletes it meanwhile has done what is to be done.
    let (lock, action) = match root {
        Root::OauthApp => (
            sql!("UPDATE oauth_apps SET version = version + 1 WHERE organization_id = $1 AND id = $2 AND state = 'live'"),
            "oauth_app.delete",
        ),
        _ => (sql!("UPDATE api_keys SET name = name WHERE organization_id = $1 AND id = $2"), "api_key.revoke"),
    };
    if tx.execute(lock, params![organization, id]).await? == 0 {
        return Ok(());
    }
    let reason = Some("The key or token that made it has ended.".to_owned());
    let order = Order { root, subject: id, label: None, reason, action, detail: None, export: false };
    deletions::delete(cx, tx, organization, order).await.map(drop)
}
