//! The customer API, below `/customer`: seed 001. The organization is the credential's, or the one in `X-Organization`.

use plane::policy::Action;

use super::api::plan;
use super::api_customers::change;
use crate::catalogue::{Operation, Surface, tagged};
use crate::dialect::CUSTOMER;
use crate::handlers::{customers, deletions};
use crate::parameters::{Confirm, CustomerFilter, CustomersWanted, Export, Hard, MetadataFilter, Said};

const SEVERAL: &str = "The credential is good for several organizations: name one in `X-Organization`.";

const TAGS: &[(&str, &str)] = &[("Customers", "Make, read, change and delete the customers of one organization.")];

/// Every operation of this surface.
pub(crate) fn surface() -> Surface {
    let operations = vec![
        Operation::get("", "customerList", customers::list_current)
            .says("List the customers")
            .may(Action::ReadCustomers)
            .parameters::<CustomerFilter>()
            .parameters::<MetadataFilter>()
            .parameters::<CustomersWanted>()
            .gives(200, "Customers, newest first; a RESALE's own."),
        Operation::post("", "customerCreate", customers::create_current)
            .etag()
            .says("Make a customer")
            .may(Action::WriteCustomers)
            .gives(201, "The customer.")
            .leads("customerRead", &[("id", "body.id")])
            .refuses(409, "The id is taken, or the organization is archived."),
        Operation::get("/{id}", "customerRead", customers::read_current)
            .etag()
            .says("Read a customer")
            .may(Action::ReadCustomers)
            .parameters::<CustomersWanted>()
            .gives(200, "The customer."),
        change(Operation::patch("/{id}", "customerUpdate", customers::update_current).etag()),
        Operation::patch("/extend/{id}", "customerExtend", customers::extend_current)
            .etag()
            .says("Add credits to a customer")
            .explains("30 days each, from now or from the end of those that are left.")
            .may(Action::WriteCustomers)
            .gives(200, "The credits were added.")
            .refuses(409, "The organization is archived, or the credits would last beyond the year 9999."),
        Operation::patch("/addscreen/{id}", "customerAddScreen", customers::add_screen_current)
            .etag()
            .says("Add a screen to a customer")
            .explains("A pass is used once in an organization, whichever the customer.")
            .may(Action::WriteCustomers)
            .gives(200, "The screen was added.")
            .refuses(409, "The pass was used already, or the organization is archived."),
        Operation::delete("/{id}", "customerDelete", customers::delete_current)
            .parameters::<Export>()
            .parameters::<Confirm>()
            .etag()
            .says("Delete a customer")
            .explains(
                "Marks the customer as deleted: sessions end, devices are disconnected, the record is kept for audit. With `hard=true` \
                 everything is erased.",
            )
            .may(Action::RetireCustomer)
            .parameters::<Hard>()
            .gives(200, "The customer is deleted.")
            .refuses(
                409,
                "A subscription is active or a transaction pending, a legal hold forbids it, the organization is archived, or something is \
                 missing that it asks for.",
            ),
        plan("/{id}/deletion-plan", "customerPlanDeletion", deletions::plan_of_current_customer)
            .may(Action::RetireCustomer)
            .parameters::<Hard>()
            .parameters::<Said>()
            .parameters::<Confirm>(),
    ];
    let operations = operations.into_iter().map(|operation| operation.of_current().refuses(400, SEVERAL));
    let operations = tagged("Customers", operations).collect();
    Surface { name: "Customer API", tags: TAGS, dialect: &CUSTOMER, prefix: "/customer", operations }
}
