//! Subscriptions are changed at Stripe. What is there is read first, and what is so already is done: it does not matter who did it, or how often.

use std::sync::Arc;

use plane::outbox::{Attempt, Due, MOST_ANSWER};
use plane::subscription_steps::{Step, StepOrder, SubscriptionState};
use plane::{Plane, billing};

use crate::stripe::{Answer, Stripe};

/// What the metadata of a subscription says that is to end with its period because of a deletion: the deletion's id.
const DELETION_KEY: &str = "freehold_deletion";
/// The same, as a field of a form.
const ENDED_BY: &str = "metadata[freehold_deletion]";

/// Carries out one step, or finds it done.
pub(super) async fn carry_out(plane: &Arc<Plane>, stripe: Option<&Stripe>, due: &Due) -> Attempt {
    let Some(stripe) = stripe else {
        return Attempt { error: Some("this server has no key of Stripe: set --stripe-secret-key"), ..Attempt::default() };
    };
    let (Ok(order), Some(step)) = (serde_json::from_str::<StepOrder>(&due.payload), Step::parse(&due.action)) else {
        return Attempt { error: Some("a step that this version does not know"), is_final: true, ..Attempt::default() };
    };
    match take_step(plane, stripe, due, &order, step).await {
        Ok(attempt) => attempt,
        Err(words) => Attempt { error: Some(words), ..Attempt::default() },
    }
}

async fn take_step(plane: &Arc<Plane>, stripe: &Stripe, due: &Due, order: &StepOrder, step: Step) -> Result<Attempt, &'static str> {
    let subscription = &order.subscription;
    let found = stripe.read(subscription).await?;
    let state = match found.status {
        404 if found.is_missing() => SubscriptionState::missing(),
        _ => match found.subscription().filter(|_| found.is_good()) {
            Some(state) => state,
            None => return Ok(refused(&found)),
        },
    };
    let unchanged = Ok(done(&found, state.clone(), false));
    let (key, deletion) = (due.idempotency_key(), due.deletion.map_or_else(String::new, |deletion| deletion.to_string()));
    // It stands at Stripe, so that it is known even if the answer to the change, or this server, is lost.
    let is_ours = !deletion.is_empty() && found.body["metadata"][DELETION_KEY] == deletion;
    match step {
        Step::Read => unchanged,
        Step::Cancel if state.has_ended() => unchanged,
        Step::Cancel => {
            let form = [("invoice_now", order.final_invoice.to_string()), ("prorate", order.prorate.to_string())];
            let answer = stripe.cancel(subscription, &form, &key).await?;
            Ok(judged(&answer, |state| state.has_ended()))
        }
        // What has ended, or is to end by its customer's own wish, is no change of ours.
        Step::CancelAtPeriodEnd if state.has_ended() || found.is_to_end() => Ok(done(&found, state, is_ours)),
        Step::CancelAtPeriodEnd => {
            let form = [("cancel_at_period_end", "true".into()), (ENDED_BY, deletion)];
            let answer = stripe.change(subscription, &form, &key).await?;
            let is_to_end = answer.is_to_end();
            Ok(judged(&answer, |_| is_to_end))
        }
        Step::Resume if !is_ours && found.is_to_end() && found.body["metadata"][DELETION_KEY].is_string() => Ok(Attempt {
            error: Some("the subscription is to end because of another deletion: look at it at Stripe"),
            is_final: true,
            ..done(&found, state, false)
        }),
        Step::Resume if !is_ours => unchanged,
        Step::Resume if state.has_ended() => Ok(Attempt {
            error: Some("the subscription has ended at Stripe and cannot be taken up again: begin a new one"),
            is_final: true,
            ..done(&found, state, false)
        }),
        Step::Resume => {
            let form = [("cancel_at_period_end", "false".into()), (ENDED_BY, String::new())];
            let answer = stripe.change(subscription, &form, &key).await?;
            let goes_on = !answer.is_to_end();
            Ok(judged(&answer, |_| goes_on))
        }
        Step::SetQuantity => {
            let seats = billing::seats(plane, due.organization).await.map_err(|_| "the database did not answer")?;
            let Some(seats) = seats.filter(|seats| !state.has_ended() && state.quantity != Some(*seats)) else { return unchanged };
            let [item] = found.items()[..] else {
                return Ok(Attempt {
                    error: Some("the subscription has several items: set their quantities at Stripe, and leave seatRoles empty"),
                    is_final: true,
                    ..done(&found, state, false)
                });
            };
            let form = [("items[0][id]", item.to_owned()), ("items[0][quantity]", seats.to_string())];
            let answer = stripe.change(subscription, &form, &key).await?;
            Ok(judged(&answer, |state| state.quantity == Some(seats)))
        }
    }
}

/// It is so.
fn done(answer: &Answer, state: SubscriptionState, is_changed: bool) -> Attempt {
    let state = SubscriptionState { is_changed, request_id: answer.request_id.clone(), ..state };
    Attempt { status: Some(answer.status), outcome: serde_json::to_value(state).ok(), ..Attempt::default() }
}

/// Whether it is so by the answer to a change.
fn judged(answer: &Answer, is_so: impl Fn(&SubscriptionState) -> bool) -> Attempt {
    match answer.subscription().filter(|_| answer.is_good()) {
        Some(state) if is_so(&state) => done(answer, state, true),
        Some(state) => Attempt { error: Some("Stripe took it and did not do it"), ..done(answer, state, false) },
        None => refused(answer),
    }
}

fn refused(answer: &Answer) -> Attempt {
    let words = match answer.status {
        401 | 403 => "Stripe refuses the server's key: look at --stripe-secret-key and what it may do",
        402 => "Stripe says that a payment is needed (402)",
        404 => "Stripe does not know it in this account and mode: look at --stripe-secret-key",
        409 => "Stripe is at work on the same (409)",
        429 => "Stripe asks to be called less often (429)",
        500.. => "Stripe failed (5xx)",
        _ => "Stripe refuses it: see its answer",
    };
    let body = answer.error().map(|error| error.chars().filter(|character| !character.is_control()).take(MOST_ANSWER).collect());
    Attempt { status: Some(answer.status), error: Some(words), body, retry_after: answer.retry_after, ..Attempt::default() }
}
