//! The organizations API's webhooks: the part of its page that would make it too long.

use axum::http::Method;
use plane::policy::Action;

use crate::catalogue::Content::Nothing;
use crate::catalogue::Operation;
use crate::handlers::webhooks;
use crate::parameters::Overlap;

pub(crate) fn operations() -> Vec<Operation> {
    const BOTH: &[(&str, &str)] = &[("organizationId", "path.organizationId"), ("webhookId", "body.id")];
    vec![
        Operation::get("/organizations/{organizationId}/webhooks", "listWebhooks", webhooks::list)
            .says("List the webhooks")
            .may(Action::ReadWebhooks)
            .gives(200, "Webhooks without their secrets, newest first."),
        Operation::post("/organizations/{organizationId}/webhooks", "createWebhook", webhooks::create)
            .etag()
            .says("Make a webhook")
            .explains(
                "Deliveries are signed as [Standard Webhooks](https://www.standardwebhooks.com) says: verify `webhook-signature` over \
                 `webhook-id`, `webhook-timestamp` and the body with the secret. They carry ids and plain facts, no personal data. Any 2xx \
                 within 10 seconds takes a delivery. Otherwise it is tried again after 1, 5 and 30 seconds, then with growing pauses for three \
                 days; a longer `Retry-After` is heeded, up to six hours. 410 switches the webhook off, and so do five days in which it takes \
                 nothing. Each event arrives at least once, seldom twice (the id stays the same). Events about the same thing arrive in the order \
                 of their `sequence`, until one has failed four times: then the later ones go ahead.",
            )
            .may(Action::WriteWebhooks)
            .gives(201, "The webhook with its secret, shown once.")
            .refuses(409, "The organization has 20 webhooks, or is archived.")
            .leads("readWebhook", BOTH)
            .leads("updateWebhook", BOTH)
            .leads("deleteWebhook", BOTH)
            .leads("testWebhook", BOTH)
            .leads("rotateWebhookSecret", BOTH)
            .leads("listDeliveries", BOTH),
        Operation::get("/organizations/{organizationId}/webhooks/{webhookId}", "readWebhook", webhooks::read)
            .etag()
            .says("Read a webhook")
            .may(Action::ReadWebhooks)
            .gives(200, "The webhook without its secret."),
        Operation::put("/organizations/{organizationId}/webhooks/{webhookId}", "updateWebhook", webhooks::update)
            .etag()
            .says("Change a webhook")
            .explains("What waits for delivery goes to where it leads then; nothing goes out while it is switched off.")
            .may(Action::WriteWebhooks)
            .gives(200, "The webhook.")
            .refuses(409, "The organization is archived."),
        Operation::post("/organizations/{organizationId}/webhooks/{webhookId}/rotate", "rotateWebhookSecret", webhooks::rotate)
            .etag()
            .says("Give a webhook a new secret")
            .explains(
                "It signs from now on. The one before signs beside it for 24 hours, or as many as `overlap_hours` says: `webhook-signature` then \
                 holds two signatures with a space between them, the new one first, and who verifies either is told the truth. It ends by itself \
                 then, at once with `overlap_hours=0` or `endOldWebhookSecret`, and when the secret is rotated again.",
            )
            .may(Action::WriteWebhooks)
            .parameters::<Overlap>()
            .gives(200, "The webhook with its new secret, shown once.")
            .refuses(409, "The organization is archived."),
        Operation::new(
            Method::DELETE,
            "/organizations/{organizationId}/webhooks/{webhookId}/old-secret",
            "endOldWebhookSecret",
            webhooks::end_old_secret,
        )
        .etag()
        .says("End a webhook's old secret")
        .explains("The one before the present one, which signs beside it for a while after it was rotated. One that has ended already is no error.")
        .may(Action::WriteWebhooks)
        .answers(204, "Only the present secret signs.", Nothing),
        Operation::delete("/organizations/{organizationId}/webhooks/{webhookId}", "deleteWebhook", webhooks::delete)
            .etag()
            .says("Delete a webhook")
            .explains("With its secret, its queue and its history.")
            .may(Action::DeleteWebhook)
            .answers(204, "The webhook is told nothing more.", Nothing)
            .refuses(409, "A legal hold on the organization, or on a customer in its history, forbids it."),
        Operation::get("/organizations/{organizationId}/webhooks/{webhookId}/deliveries", "listDeliveries", webhooks::list_deliveries)
            .says("List a webhook's deliveries")
            .explains("Those that wait, those that were given up, and the last hundred that were delivered.")
            .may(Action::ReadWebhooks)
            .gives(200, "Deliveries, newest first."),
        Operation::post("/organizations/{organizationId}/webhooks/{webhookId}/deliveries/resend", "resendDeliveries", webhooks::resend_all)
            .says("Send a webhook's deliveries again")
            .explains(
                "Those that were given up, or those of a range; `{}` is all that were given up. They keep their ids and sequences, and are tried \
                 for three days from now.",
            )
            .may(Action::WriteWebhooks)
            .gives(202, "They are in the queue again.")
            .refuses(409, "The webhook is switched off, or the organization is archived."),
        Operation::post(
            "/organizations/{organizationId}/webhooks/{webhookId}/deliveries/{deliveryId}/resend",
            "resendDelivery",
            webhooks::resend,
        )
        .says("Send a delivery again")
        .explains("One that was delivered or given up is tried for three days from now, one that waits is tried at once. It keeps its id and its sequence.")
        .may(Action::WriteWebhooks)
        .gives(202, "It is in the queue again.")
        .refuses(409, "The webhook is switched off, the organization is archived, or what the delivery said is deleted."),
        Operation::post(
            "/organizations/{organizationId}/webhooks/{webhookId}/deliveries/{deliveryId}/give-up",
            "giveUpDelivery",
            webhooks::give_up,
        )
        .says("Give a delivery up")
        .explains("It is tried no more, and no deletion waits for it. It can be sent again.")
        .may(Action::WriteWebhooks)
        .gives(200, "It was given up.")
        .refuses(409, "It has come to its end already, or the organization is archived."),
        Operation::post("/organizations/{organizationId}/webhooks/{webhookId}/test", "testWebhook", webhooks::test)
            .says("Send a webhook a test event")
            .explains("`webhook.test`, whatever it subscribes to.")
            .may(Action::WriteWebhooks)
            .gives(202, "It is on its way.")
            .refuses(409, "The organization is archived."),
    ]
}
