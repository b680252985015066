//! What Stripe tells. An event is believed when it is signed, and then only as a reason to read the subscription again.

use aws_lc_rs::{digest, hmac};
use deletion::State;
use serde_json::Value as Json;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::linking::{check_id, find, insert, write_state};
use crate::audit::{self, Note};
use crate::cx::Actor;
use crate::deletions::{Root, subscriptions};
use crate::ids::{self, SERVER_SCOPE};
use crate::subscription_steps::{self, Linked, OnDeletion, Step, SubscriptionState, Terms, queue, terms};
use crate::{Cx, Error, Result, locks};

/// What the metadata of a subscription says at Stripe: the organization's id.
pub const ORGANIZATION_KEY: &str = "freehold_organization";
/// The same for the customer's id, as the API has it.
pub const CUSTOMER_KEY: &str = "freehold_customer";
/// How old a signed event may be, in seconds, and how far ahead of the server's clock: Stripe's own tolerance.
const TOLERANCE: i64 = 300;

sql::words! {
    /// What became of an event from Stripe.
    pub enum Heard {
        /// The subscription is read again.
        Read = "read",
        /// A subscription was linked.
        Linked = "linked",
        /// A subscription began for an organization that is deleted, and is cancelled.
        Cancelled = "cancelled",
        /// It is about nothing that is linked here, or is any more.
        Unknown = "unknown",
        /// It is about something else.
        Ignored = "ignored",
    }
}

/// What an event leads to.
#[derive(Debug)]
pub enum Told {
    /// This has come of it.
    Heard(Heard),
    /// It is about this subscription, which is linked to nothing here: Stripe is to be asked what it is, and [`claim`] then.
    Unlinked(String),
}

/// Hears an event from Stripe: what it says is not believed, but read again there. So one that comes twice, late or before an earlier one does no
/// harm.
///
/// # Errors
/// [`Error::Malformed`] when it is not signed by Stripe, now; [`Error::Conflict`] when the server has no secret for that.
pub async fn hear(cx: &Cx, signature: Option<&str>, body: &[u8]) -> Result<Told> {
    check_signature(&cx.plane.config.stripe.webhook_secrets, signature, body, cx.now.as_second())?;
    let event: Json = serde_json::from_slice(body).map_err(|_| Error::Malformed("The event is not JSON.".into()))?;
    let subscription = event["data"]["object"]["id"].as_str().filter(|id| check_id(id).is_ok());
    let is_about_one = event["type"].as_str().is_some_and(|kind| kind.starts_with("customer.subscription."));
    let Some(subscription) = subscription.filter(|_| is_about_one).map(str::to_owned) else { return Ok(Told::Heard(Heard::Ignored)) };
    let cx = cx.clone().with_actor(Actor::System);
    cx.write_as_server(async move |cx, tx| {
        let Some((organization, linked)) = find(tx, &subscription).await? else { return Ok(Told::Unlinked(subscription.clone())) };
        read_again(cx, tx, organization, &linked).await?;
        Ok(Told::Heard(Heard::Read))
    })
    .await
}

fn check_signature(secrets: &[String], header: Option<&str>, body: &[u8], now: i64) -> Result<()> {
    let refused = |words: &str| Err(Error::Malformed(words.into()));
    if secrets.is_empty() {
        return Err(Error::Conflict("This server takes no events from Stripe: its operator sets --stripe-webhook-secret.".into()));
    }
    let parts = || header.unwrap_or_default().split(',').filter_map(|part| part.trim().split_once('='));
    let time: Option<i64> = parts().find(|(name, _)| *name == "t").and_then(|(_, time)| time.parse().ok());
    let Some(time) = time else { return refused("The header Stripe-Signature is missing or is not one: it has no time.") };
    if (now.saturating_sub(time)).saturating_abs() > TOLERANCE {
        return refused("The signature is older than five minutes, or a clock is wrong.");
    }
    let signed = [time.to_string().as_bytes(), b".", body].concat();
    let is_good = |secret: &String, given: &str| {
        let Ok(given) = (0..given.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(given.get(at..at + 2).unwrap_or("x"), 16))
            .collect::<std::result::Result<Vec<u8>, _>>()
        else {
            return false;
        };
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), &signed, &given).is_ok()
    };
    // A header with thousands of signatures costs as much as one with a few.
    let mut given = parts().filter(|(name, _)| *name == "v1").take(8);
    match given.any(|(_, given)| secrets.iter().any(|secret| is_good(secret, given))) {
        true => Ok(()),
        false => refused("The signature is not Stripe's: look whether --stripe-webhook-secret is that of this endpoint."),
    }
}

/// A subscription as Stripe has it, which is linked to nothing here.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Stripe's id.
    pub subscription: String,
    /// Its metadata: [`ORGANIZATION_KEY`] and [`CUSTOMER_KEY`].
    pub metadata: Json,
    /// How it stands.
    pub state: SubscriptionState,
}

/// Links a subscription to the organization and customer that its metadata at Stripe names. One that begins for what is deleted ends instead.
///
/// # Errors
/// The database's.
pub async fn claim(cx: &Cx, begun: Begun) -> Result<Heard> {
    let Some(organization) = begun.metadata[ORGANIZATION_KEY].as_str().and_then(ids::parse) else { return Ok(Heard::Unknown) };
    let cx = cx.clone().with_actor(Actor::System);
    cx.write_as_server(async move |cx, tx| claim_in(cx, tx, organization, &begun).await).await
}

async fn claim_in(cx: &Cx, tx: &mut Tx, organization: Uuid, begun: &Begun) -> Result<Heard> {
    // Locked, but for its key: what refers to it goes on meanwhile.
    let state = sql!("UPDATE organizations SET version = version WHERE id = $1 RETURNING state");
    let state: Option<String> = tx.read_opt(state, params![organization]).await?;
    if let Some((organization, linked)) = find(tx, &begun.subscription).await? {
        read_again(cx, tx, organization, &linked).await?;
        return Ok(Heard::Read);
    }
    if begun.state.has_ended() {
        return Ok(Heard::Unknown);
    }
    let deletion = sql!(
        "SELECT id, state FROM deletions WHERE organization_id = $1 AND subject_id = $1 AND root = 'organization'
                                           AND state IN ('reversible', 'closed', 'draining', 'completed') ORDER BY id DESC LIMIT 1"
    );
    let deletion: Option<(Uuid, State)> = tx.read_opt(deletion, params![organization]).await?;
    match (state.as_deref(), deletion) {
        (Some("live"), _) => link_begun(cx, tx, organization, begun).await,
        // As everything else that its organization pays for.
        (Some(_), Some((deletion, State::Reversible))) => {
            link_to(cx, tx, organization, None, begun).await?;
            // In its turn, after those that were there before.
            subscriptions::cancel(cx, tx, organization, (deletion, Root::Organization, organization), true).await?;
            Ok(Heard::Linked)
        }
        (_, Some(_)) => cancel_begun(cx, tx, organization, begun).await,
        // Other servers may share the account at Stripe.
        (_, None) => Ok(Heard::Unknown),
    }
}

/// Reads a subscription again, unless that is about to happen.
async fn read_again(cx: &Cx, tx: &mut Tx, organization: Uuid, linked: &Linked) -> Result<()> {
    let waiting = sql!(
        "SELECT 1 FROM effects WHERE organization_id = $1 AND queue_id = $2 AND action = $3 AND state = 'pending' AND attempts = 0
                                 AND next_attempt_at <= $4"
    );
    if tx.query_opt(waiting, params![organization, linked.id, Step::Read, cx.now]).await?.is_some() {
        return Ok(());
    }
    queue(cx, tx, organization, linked, (Step::Read, None), &Terms::default()).await
}

async fn link_begun(cx: &Cx, tx: &mut Tx, organization: Uuid, begun: &Begun) -> Result<Heard> {
    let Some(reference) = begun.metadata[CUSTOMER_KEY].as_str() else {
        link_to(cx, tx, organization, None, begun).await?;
        return Ok(Heard::Linked);
    };
    let Some(customer) = locks::hold_customer(tx, organization, reference).await? else {
        return report(cx, tx, organization, begun).await;
    };
    let linked = link_to(cx, tx, organization, Some(customer), begun).await?;
    let deleted = sql!("SELECT 1 FROM customers WHERE organization_id = $1 AND id = $2 AND state = 'deleted'");
    if tx.query_opt(deleted, params![organization, customer]).await?.is_none() {
        return Ok(Heard::Linked);
    }
    let resting =
        sql!("SELECT id FROM deletions WHERE organization_id = $1 AND subject_id = $2 AND state = 'reversible' ORDER BY id DESC LIMIT 1");
    if let Some(deletion) = tx.read_opt(resting, params![organization, customer]).await? {
        subscriptions::cancel(cx, tx, organization, (deletion, Root::RetiredCustomer, customer), true).await?;
        return Ok(Heard::Cancelled);
    }
    let terms = terms(tx, organization).await?;
    let step = match terms.on_deletion {
        OnDeletion::CancelNow => Step::Cancel,
        OnDeletion::CancelAtPeriodEnd => Step::CancelAtPeriodEnd,
    };
    queue(cx, tx, organization, &linked, (step, None), &terms).await?;
    Ok(Heard::Cancelled)
}

async fn link_to(cx: &Cx, tx: &mut Tx, organization: Uuid, customer: Option<Uuid>, begun: &Begun) -> Result<Linked> {
    let id = insert(cx, tx, organization, customer, &begun.subscription).await?;
    write_state(cx, tx, (organization, id), &begun.state).await?;
    let note = Note {
        action: "billing.link",
        subject: "organization",
        subject_id: Some(organization),
        detail: Some(begun.subscription.clone()),
        ..Note::default()
    };
    audit::record(cx, tx, organization, &note).await?;
    Ok(Linked { id, subscription: begun.subscription.clone(), customer })
}

/// The queue of a subscription that has no link here.
pub(super) fn queue_of(subscription: &str) -> Result<Uuid> {
    let hash = digest::digest(&digest::SHA256, subscription.as_bytes());
    Uuid::from_slice(&hash.as_ref()[..16]).map_err(|error| Error::Internal(error.to_string()))
}

/// Whether something was done about a subscription that has no link here.
async fn is_queued(tx: &mut Tx, organization: Uuid, id: Uuid) -> Result<bool> {
    let known = sql!("SELECT 1 FROM effects WHERE organization_id = $1 AND queue_id = $2 LIMIT 1");
    Ok(tx.query_opt(known, params![organization, id]).await?.is_some())
}

/// Has operators look at a subscription whose customer is not there: one that was deleted meanwhile is known by no name any more, and one that the
/// product misspelt is to be linked.
async fn report(cx: &Cx, tx: &mut Tx, organization: Uuid, begun: &Begun) -> Result<Heard> {
    let id = queue_of(&begun.subscription)?;
    if !is_queued(tx, organization, id).await? {
        let linked = Linked { id, subscription: begun.subscription.clone(), customer: None };
        subscription_steps::insert(cx, tx, organization, &linked, (Step::Cancel, None), &Terms::default()).await?;
        let failed = sql!("UPDATE effects SET state = 'failed', error = $3, finished_at = $4 WHERE organization_id = $1 AND queue_id = $2");
        let words = "the customer in its metadata is not there: link it to the one it is for, or retry this to cancel it";
        tx.execute(failed, params![organization, id, words, cx.now]).await?;
    }
    Ok(Heard::Unknown)
}

/// Cancels a subscription that began while its organization was being deleted, or after that: no one is left to use what it pays for.
async fn cancel_begun(cx: &Cx, tx: &mut Tx, organization: Uuid, begun: &Begun) -> Result<Heard> {
    let id = queue_of(&begun.subscription)?;
    if !is_queued(tx, SERVER_SCOPE, id).await? {
        let linked = Linked { id, subscription: begun.subscription.clone(), customer: None };
        subscription_steps::insert(cx, tx, SERVER_SCOPE, &linked, (Step::Cancel, None), &Terms::default()).await?;
        let note = Note {
            action: "billing.cancel",
            subject: "organization",
            subject_id: Some(organization),
            detail: Some(format!("{} began after the organization was deleted", begun.subscription)),
            ..Note::default()
        };
        audit::record(cx, tx, SERVER_SCOPE, &note).await?;
    }
    Ok(Heard::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    #[test]
    fn an_event_is_believed_only_with_a_signature_of_one_of_the_secrets_and_of_now() {
        let secrets = ["whsec_old".to_owned(), "whsec_new".to_owned()];
        let sign = |secret: &str, time: i64, body: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            hex(hmac::sign(&key, format!("{time}.{body}").as_bytes()).as_ref())
        };
        let check = |header: &str| check_signature(&secrets, Some(header), b"{}", 1_000);
        for secret in &secrets {
            check(&format!("t=1000,v1={}", sign(secret, 1_000, "{}"))).unwrap();
        }
        check(&format!("t=1000,v1=00,v0=11,v1={}", sign("whsec_new", 1_000, "{}"))).unwrap();
        check(&format!("t=1299, v1={}", sign("whsec_new", 1_299, "{}"))).unwrap();
        let good = sign("whsec_new", 1_000, "{}");
        let bad = [
            String::new(),
            "t=1000".to_owned(),
            format!("v1={good}"),
            format!("t=1001,v1={good}"),
            format!("t=1000,v0={good}"),
            format!("t=1000,v1={good}0"),
            format!("t=1000,v1={}", sign("whsec_other", 1_000, "{}")),
            format!("t=1000,v1={}", sign("whsec_new", 1_000, "{ }")),
            format!("t=699,v1={}", sign("whsec_new", 699, "{}")),
            format!("t=1301,v1={}", sign("whsec_new", 1_301, "{}")),
            "t=1000,v1=é".to_owned(),
        ];
        for header in bad {
            assert!(check(&header).is_err(), "{header}");
        }
        assert!(check_signature(&[], Some(&format!("t=1000,v1={good}")), b"{}", 1_000).is_err());
    }
}
