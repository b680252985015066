//! Another key signs: an operator replaces it, and maintenance erases what has had its time.

use std::time::Duration;

use deletion::after;
use jiff::Timestamp;
use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::access::as_operator;
use crate::audit::{self, Note};
use crate::cx::Cx;
use crate::ids::SERVER_SCOPE;
use crate::signing_keys::{load, make};
use crate::{Error, Result};

/// A key that signs access tokens.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct SigningKey {
    /// What tokens call it in their header.
    #[serde(rename = "kid")]
    #[schemars(length(max = 16), extend("pattern" = "^[0-9a-f]{16}$"), example = &"2f6d5c4b3a291807")]
    pub id: String,
    /// When it began to sign.
    pub created_at: Timestamp,
    /// Until when the key before it verifies; null if that ended at once.
    pub previous_until: Option<Timestamp>,
}

/// Makes another key sign from now on. The one before it verifies until its last token has ended, or ends at once with all of its tokens, whose
/// holders refresh them.
///
/// # Errors
/// [`Error::Forbidden`] for anybody but an operator in a session; [`Error::Conflict`] while ten keys verify.
pub async fn rotate(cx: &Cx, at_once: bool) -> Result<SigningKey> {
    cx.write_own(async move |cx, tx| {
        as_operator(cx, "Signing keys are for the operators of this server, in a session of their own.")?;
        rotate_in(cx, tx, at_once).await
    })
    .await
}

/// Has a new key sign, and the others verify nothing any more: in a database that was restored they may be keys that were replaced since.
///
/// # Errors
/// Those of [`rotate`].
pub(crate) async fn replace(cx: &Cx) -> Result<()> {
    cx.write_behind(false, async move |cx, tx| rotate_in(cx, tx, true).await.map(drop)).await
}

async fn rotate_in(cx: &Cx, tx: &mut Tx, at_once: bool) -> Result<SigningKey> {
    // Of two who rotate at once the second replaces the key of the first.
    tx.seize(ROTATION).await?;
    let until = if at_once { cx.now } else { after(cx.now, cx.plane.config.access_token_life + MARGIN) };
    let retire = sql!("UPDATE signing_keys SET retires_at = $1 WHERE retires_at IS NULL OR (retires_at > $1 AND CAST($2 AS boolean))");
    tx.execute(retire, params![until, at_once]).await?;
    let count: i64 = tx.read_one(sql!("SELECT count(*) FROM signing_keys WHERE retires_at > $1"), params![cx.now]).await?;
    if count >= MOST {
        return Err(Error::Conflict(format!("{MOST} signing keys verify already: wait until tokens of the first have ended.")));
    }
    // Also where the clock was set back: the newest signs.
    let newest: Option<Timestamp> = tx.read_one(sql!("SELECT max(created_at) FROM signing_keys"), &[]).await?;
    let newest = newest.map_or(cx.now, |newest| after(newest, Duration::from_micros(1)));
    let created_at = newest.max(cx.now);
    let id = make(tx, &cx.plane.encryption, created_at).await?;
    let detail = match at_once {
        true => format!("{id} signs; the one before it ended at once"),
        false => format!("{id} signs; the one before it verifies until {until}"),
    };
    let note = Note { action: "signing_key.rotate", subject: "signing_key", detail: Some(detail), ..Note::default() };
    audit::record(cx, tx, SERVER_SCOPE, &note).await?;
    let keys = load(tx, &cx.plane.encryption).await?;
    let plane = cx.plane.clone();
    tx.on_commit(move || {
        plane.keys.take_up(keys);
        if at_once {
            // Tokens that were verified before are known without their signature.
            plane.credential_cache.forget_credentials();
        }
    });
    Ok(SigningKey { id, created_at, previous_until: (!at_once).then_some(until) })
}

/// Erases the keys whose last token has ended, and takes up what a rotation has left whose outcome the database did not tell.
///
/// # Errors
/// The database's.
pub(crate) async fn erase_retired(cx: &Cx) -> Result<()> {
    let before = cx.plane.keys.all();
    let known: Vec<_> = before.iter().map(|key| (key.id.clone(), key.retires_at)).collect();
    let kept = cx.read(async move |_, tx| {
        Ok(tx.read_all::<(String, Option<Timestamp>)>(sql!("SELECT id, retires_at FROM signing_keys"), &[]).await?)
    });
    let kept = kept.await?;
    let is_over = kept.iter().any(|(_, until)| until.is_some_and(|until| until <= cx.now));
    if !is_over && kept.len() == known.len() && kept.iter().all(|key| known.contains(key)) {
        return Ok(());
    }
    cx.write_as_server(async move |cx, tx| {
        tx.execute(sql!("DELETE FROM signing_keys WHERE retires_at <= $1"), params![cx.now]).await?;
        let keys = load(tx, &cx.plane.encryption).await?;
        let (plane, before) = (cx.plane.clone(), before.clone());
        tx.on_commit(move || {
            plane.keys.take_up_after(&before, keys);
            // Who has the old key may have given a token any end.
            plane.credential_cache.forget_credentials();
        });
        Ok(())
    })
    .await
}

/// The lock of those who replace the key that signs.
const ROTATION: Uuid = Uuid::from_u128(0x7369_676e_696e_676b_6579_7369_676e_696e);

/// How much longer than its tokens a replaced key verifies: time for requests under way that sign with it still.
const MARGIN: Duration = Duration::from_secs(60);

/// Keys that verify at a time. Those who verify tokens read all of them.
const MOST: i64 = 10;
