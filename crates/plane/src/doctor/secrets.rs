//! Secrets that are in the database as they are, where those who read it or a backup of it can use them.

use sql::{Statement, params, sql};

use super::checks::{START_THE_SERVER, id, rows_and_sample};
use super::{CheckContext, Finding, Findings, MOST_SAMPLES, Tell};
use crate::encryption::{SIGNING_KEYS, WEBHOOKS};
use crate::{Error, Result};

pub(super) fn secrets<'a>(context: &'a CheckContext, tell: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let count = sql!("SELECT count(*) FROM secret_keys");
        let keys: i64 = context.db.read(async move |tx| Ok::<_, Error>(tx.read_one(count, &[]).await?)).await?;
        let remedy = match keys {
            0 => format!(
                "give the server a key, one that `openssl rand -base64 32` makes, with --secret-key-file or FREEHOLD_SECRET_KEY, and {START_THE_SERVER}: \
                 it encrypts them"
            ),
            _ => format!(
                "{START_THE_SERVER}: it encrypts them. A webhook that is still found then has lost its key: freehold webhooks rotate ID --overlap 0"
            ),
        };
        tell(WEBHOOKS);
        let count = sql!(
            "SELECT count(*) FROM webhooks
             WHERE NOT EXISTS (SELECT 1 FROM secret_keys WHERE substr(webhooks.secret, 2, 8) = secret_keys.id AND length(webhooks.secret) > 32)
                OR (old_secret IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM secret_keys WHERE substr(webhooks.old_secret, 2, 8) = secret_keys.id AND length(webhooks.old_secret) > 32))"
        );
        let list = sql!(
            "SELECT id FROM webhooks
             WHERE NOT EXISTS (SELECT 1 FROM secret_keys WHERE substr(webhooks.secret, 2, 8) = secret_keys.id AND length(webhooks.secret) > 32)
                OR (old_secret IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM secret_keys WHERE substr(webhooks.old_secret, 2, 8) = secret_keys.id AND length(webhooks.old_secret) > 32))
             ORDER BY id LIMIT $1"
        );
        let webhooks = found(context, WEBHOOKS, (count, list, id), &remedy).await?;
        tell(SIGNING_KEYS);
        let count = sql!(
            "SELECT count(*) FROM signing_keys
             WHERE NOT EXISTS (SELECT 1 FROM secret_keys WHERE substr(signing_keys.private_key, 2, 8) = secret_keys.id)"
        );
        let list = sql!(
            "SELECT id FROM signing_keys
             WHERE NOT EXISTS (SELECT 1 FROM secret_keys WHERE substr(signing_keys.private_key, 2, 8) = secret_keys.id) ORDER BY id LIMIT $1"
        );
        let signing_keys = found(context, SIGNING_KEYS, (count, list, |row| Ok(row.read()?)), &remedy).await?;
        Ok(webhooks.into_iter().chain(signing_keys).collect())
    })
}

async fn found(
    context: &CheckContext,
    table: &'static str,
    (count, list, name): (Statement, Statement, fn(sql::Row) -> Result<String>),
    remedy: &str,
) -> Result<Option<Finding>> {
    let (rows, sample) = rows_and_sample(context, (count, Vec::new()), (list, name), params![MOST_SAMPLES].to_vec()).await?;
    Ok((rows > 0).then(|| Finding {
        what: "their secrets are in the database as they are, or encrypted with a key that it does not know of".into(),
        table: Some(table.into()),
        rows,
        of: table,
        sample,
        remedy: remedy.to_owned(),
    }))
}
