//! The organizations API, for the people who run the server.

use axum::http::Method;
use plane::policy::Action;

use crate::catalogue::Content::Nothing;
use crate::catalogue::Operation;
use crate::handlers::{billing, effects, operators, search};
use crate::parameters::{EffectState, Reason, Search};

pub(crate) fn operator_operations() -> Vec<Operation> {
    const PERSON: &[(&str, &str)] = &[("userId", "body.id")];
    vec![
        Operation::get("/operator/search", "search", search::search)
            .says("Find organizations, people and keys")
            .explains("With their ids, states and sizes, and the audit entries of a request. Of customers nothing but how many there are. Up to 20 of a kind.")
            .operators()
            .parameters::<Search>()
            .gives(200, "What was found, which may be nothing."),
        Operation::get("/operator/operators", "listOperators", operators::list)
            .says("List the operators")
            .explains("By their addresses. There are few.")
            .operators()
            .gives(200, "All of them."),
        Operation::post("/operator/operators", "addOperator", operators::add)
            .says("Make a person an operator")
            .explains(
                "The person has an account. Their sessions end, because they were begun with fewer rights. In the server's audit trail, with the \
                 reason. Sign in again first: a session serves for 10 minutes.",
            )
            .operators()
            .gives(201, "They are one.")
            .leads("removeOperator", PERSON)
            .refuses(409, "They are an operator already."),
        Operation::new(Method::DELETE, "/operator/operators/{userId}", "removeOperator", operators::remove)
            .says("Make an operator an account like any other")
            .explains(
                "Their sessions end. In the server's audit trail, with the reason, which is needed. The last operator stays. Sign in again first: a \
                 session serves for 10 minutes.",
            )
            .operators()
            .parameters::<Reason>()
            .answers(204, "They are none any more.", Nothing)
            .refuses(404, "There is no such person.")
            .refuses(409, "They are no operator, or the last one."),
        Operation::get("/operator/organizations/{organizationId}/limits", "readLimits", operators::read_limits)
            .says("Read the limits of an organization")
            .may(Action::ChangeLimits)
            .gives(200, "What is otherwise than for all."),
        Operation::patch("/operator/organizations/{organizationId}/limits", "changeLimits", operators::change_limits)
            .says("Change the limits of an organization")
            .explains(
                "With effect from the next request. Its callers see them in `RateLimit-Policy`. In the organization's audit trail and in the server's, \
                 with the reason. Sign in again first: a session serves for 10 minutes.",
            )
            .may(Action::ChangeLimits)
            .gives(200, "What is otherwise than for all."),
        Operation::get("/operator/effects", "listEffects", effects::list)
            .says("List what the server does outside")
            .explains(
                "What it changes at the payment provider: without `state` all that is not done yet. What an organization's webhooks are told stands with \
                 the webhooks.",
            )
            .operators()
            .parameters::<EffectState>()
            .gives(200, "Effects, newest first, each with its last error and what would let it go on."),
        Operation::get("/operator/effects/{effectId}", "readEffect", effects::read)
            .says("Read an effect")
            .operators()
            .gives(200, "The effect."),
        Operation::post("/operator/effects/{effectId}/retry", "retryEffect", effects::retry)
            .says("Try an effect again")
            .explains("At once, and for three days from now. In the server's audit trail and in the organization's, with the reason.")
            .operators()
            .gives(202, "It is tried.")
            .refuses(409, "It is done, or its deletion was taken back."),
        Operation::post("/operator/effects/{effectId}/give-up", "giveUpEffect", effects::give_up)
            .says("Give an effect up")
            .explains(
                "It is tried no more, and the deletion that waits for it goes on. Do by hand first what it was to do. In the server's audit trail and \
                 in the organization's, with the reason.",
            )
            .operators()
            .gives(200, "It was given up.")
            .refuses(409, "It is done or given up already."),
        Operation::put("/operator/organizations/{organizationId}/billing/subscriptions/{subscriptionId}", "linkSubscription", billing::link)
            .says("Link a subscription at Stripe")
            .explains(
                "It is the organization's own, or that of one of its customers, and ends with what it is for. Stripe is asked about it first. One that \
                 is linked so already stays so. In the server's audit trail and in the organization's, with the reason.",
            )
            .may(Action::LinkSubscription)
            .gives(200, "The subscription, as Stripe has it.")
            .refuses(409, "It is linked elsewhere, Stripe does not know it, the server has no key of Stripe, or the organization is archived.")
            .refuses(503, "Stripe does not answer."),
        Operation::new(
            Method::DELETE,
            "/operator/organizations/{organizationId}/billing/subscriptions/{subscriptionId}",
            "unlinkSubscription",
            billing::unlink,
        )
        .says("End the link to a subscription")
        .explains("It goes on at Stripe, and nothing here ends it any more. In the server's audit trail and in the organization's, with the reason.")
        .may(Action::LinkSubscription)
        .parameters::<Reason>()
        .answers(204, "The link is gone.", Nothing)
        .refuses(409, "Its metadata at Stripe names an organization: it would be linked again. Or the server has no key of Stripe.")
        .refuses(503, "Stripe does not answer."),
    ]
}
