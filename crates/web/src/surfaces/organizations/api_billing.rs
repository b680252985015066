//! The organizations API's billing: subscriptions at Stripe.

use plane::policy::Action;

use crate::catalogue::Operation;
use crate::handlers::billing;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/organizations/{organizationId}/billing", "readBilling", billing::read)
            .says("Read how the organization is billed")
            .explains("Its own subscriptions at Stripe, how they end when something is deleted, and which members count as seats.")
            .may(Action::ReadBilling)
            .gives(200, "How it is billed."),
        Operation::patch("/organizations/{organizationId}/billing", "changeBilling", billing::change)
            .says("Change how subscriptions end")
            .explains(
                "For deletions that are ordered from now on. With `seatRoles` the quantity of the organization's own subscription follows the number of \
                 members with these roles, within a minute.",
            )
            .may(Action::ChangeBilling)
            .gives(200, "How it is billed.")
            .refuses(409, "The organization is archived."),
        Operation::get("/organizations/{organizationId}/billing/subscriptions", "listBillingSubscriptions", billing::list)
            .says("List the subscriptions at Stripe")
            .explains("The organization's own and those of its customers.")
            .may(Action::ReadBilling)
            .gives(200, "Subscriptions, newest first."),
        Operation::post("/organizations/{organizationId}/billing/checkout", "beginCheckout", billing::check_out)
            .says("Begin a subscription at Stripe")
            .explains(
                "Send the browser of who pays to the address. Once they have paid, Stripe tells this server, and the subscription is the organization's.",
            )
            .may(Action::ManageBilling)
            .gives(201, "Where the checkout is.")
            .refuses(409, "Stripe refuses it, the server has no key of Stripe or offers no prices, or the organization is archived.")
            .refuses(503, "Stripe does not answer."),
        Operation::post("/organizations/{organizationId}/billing/portal", "openBillingPortal", billing::open_portal)
            .says("Manage the subscription at Stripe")
            .explains("Send the browser of who pays to the address: invoices, cards and the subscription itself are looked after there.")
            .may(Action::ManageBilling)
            .gives(201, "Where the portal is.")
            .refuses(409, "The organization has no subscription yet, Stripe refuses it, or the server has no key of Stripe.")
            .refuses(503, "Stripe does not answer."),
    ]
}
