//! What Stripe tells. An event is believed when it is signed, and then only as a reason to read the subscription again.

use aws_lc_rs::{digest, hmac};
use serde_json::Value as Json;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::linking::{check_id, find, insert};
use crate::audit::{self, Note};
use crate::cx::Actor;
use crate::ids::{self, SERVER_SCOPE};
use crate::subscription_steps::{Linked, Step, Terms, queue};
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

/// Hears an event from Stripe: what it says is not believed, but read again there. So one that comes twice, late or before an earlier one does no
/// harm.
///
/// # Errors
/// [`Error::Malformed`] when it is not signed by Stripe, now.
pub async fn hear(cx: &Cx, signature: Option<&str>, body: &[u8]) -> Result<Heard> {
    check_signature(&cx.plane.config.stripe.webhook_secrets, signature, body, cx.now.as_second())?;
    let event: Json = serde_json::from_slice(body).map_err(|_| Error::Malformed("The event is not JSON.".into()))?;
    let Some(begun) = Begun::read(&event) else { return Ok(Heard::Ignored) };
    let heard = cx.clone().with_actor(Actor::System).write_as_server(async move |cx, tx| hear_in(cx, tx, &begun).await).await?;
    tracing::info!(event = event["id"].as_str().filter(|id| id.len() <= 255), outcome = heard.name(), "an event from Stripe");
    Ok(heard)
}

fn check_signature(secrets: &[String], header: Option<&str>, body: &[u8], now: i64) -> Result<()> {
    let refused = |words: &str| Err(Error::Malformed(words.into()));
    if secrets.is_empty() {
        return refused("This server takes no events from Stripe: its operator sets --stripe-webhook-secret.");
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

/// A subscription that an event speaks of.
struct Begun {
    subscription: String,
    organization: Option<Uuid>,
    customer: Option<String>,
    has_ended: bool,
}

impl Begun {
    fn read(event: &Json) -> Option<Begun> {
        let (kind, object) = (event["type"].as_str()?, &event["data"]["object"]);
        let (subscription, named) = match kind {
            _ if kind.starts_with("customer.subscription.") => (object["id"].as_str(), &object["metadata"][ORGANIZATION_KEY]),
            "checkout.session.completed" => {
                (object["subscription"].as_str().or(object["subscription"]["id"].as_str()), &object["client_reference_id"])
            }
            _ => return None,
        };
        let subscription = subscription.filter(|id| check_id(id).is_ok())?;
        Some(Begun {
            subscription: subscription.to_owned(),
            organization: named.as_str().and_then(ids::parse),
            customer: object["metadata"][CUSTOMER_KEY].as_str().map(str::to_owned),
            has_ended: matches!(object["status"].as_str(), Some("canceled" | "incomplete_expired")),
        })
    }
}

async fn hear_in(cx: &Cx, tx: &mut Tx, begun: &Begun) -> Result<Heard> {
    if let Some((organization, linked)) = find(tx, &begun.subscription).await? {
        read_again(cx, tx, organization, &linked).await?;
        return Ok(Heard::Read);
    }
    let Some(organization) = begun.organization else { return Ok(Heard::Unknown) };
    let state = sql!("SELECT state FROM organizations WHERE id = $1 FOR UPDATE");
    match tx.read_opt::<String>(state, params![organization]).await?.as_deref() {
        Some("live") => link_begun(cx, tx, organization, begun).await,
        _ if begun.has_ended => Ok(Heard::Unknown),
        _ => cancel_begun(cx, tx, organization, begun).await,
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
    let customer = match &begun.customer {
        None => None,
        Some(reference) => match locks::hold_customer(tx, organization, reference).await? {
            Some(customer) => Some(customer),
            None => return Ok(Heard::Unknown),
        },
    };
    let id = insert(cx, tx, organization, customer, &begun.subscription).await?;
    let note = Note {
        action: "billing.link",
        subject: "organization",
        subject_id: Some(organization),
        detail: Some(begun.subscription.clone()),
        ..Note::default()
    };
    audit::record(cx, tx, organization, &note).await?;
    let linked = Linked { id, subscription: begun.subscription.clone(), customer };
    queue(cx, tx, organization, &linked, (Step::Read, None), &Terms::default()).await?;
    Ok(Heard::Linked)
}

/// Cancels a subscription that began while its organization was being deleted, or after that: no one is left to use what it pays for. Only where
/// this server has deleted it: other servers may share the account at Stripe.
async fn cancel_begun(cx: &Cx, tx: &mut Tx, organization: Uuid, begun: &Begun) -> Result<Heard> {
    let deleted = sql!(
        "SELECT 1 FROM deletions WHERE organization_id = $1 AND subject_id = $1 AND root = 'organization' AND state IN ('closed', 'draining', 'completed')"
    );
    if tx.query_opt(deleted, params![organization]).await?.is_none() {
        return Ok(Heard::Unknown);
    }
    let hash = digest::digest(&digest::SHA256, begun.subscription.as_bytes());
    let id = Uuid::from_slice(&hash.as_ref()[..16]).map_err(|error| Error::Internal(error.to_string()))?;
    let known = sql!("SELECT 1 FROM effects WHERE organization_id = $1 AND queue_id = $2");
    if tx.query_opt(known, params![SERVER_SCOPE, id]).await?.is_none() {
        let linked = Linked { id, subscription: begun.subscription.clone(), customer: None };
        queue(cx, tx, SERVER_SCOPE, &linked, (Step::Cancel, None), &Terms::default()).await?;
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
