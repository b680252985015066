//! The customer API, below `/customer`: seed 001. The organization is the credential's, or the one in `X-Organization`.

use plane::policy::Action;

use crate::catalogue::Content::One;
use crate::catalogue::{Operation, Parameter, Surface, tagged};
use crate::dialect::CUSTOMER;
use crate::handlers::customers;
use crate::shapes::{Is, records};

const HARD: [Parameter; 1] =
    [Parameter { name: "hard", is: Is::Flag, about: "Erase the customer for good instead of marking it: for ADMIN only." }];

/// Every operation of this surface.
pub(crate) fn surface() -> Surface {
    let operations = vec![
        Operation::get("/{id}", "customerRead", customers::read_current)
            .says("Read a customer")
            .may(Action::ReadCustomers)
            .answers(200, "The customer.", One(&records::CUSTOMER))
            .refuses(400, "The credential is good for several organizations: name one in `X-Organization`."),
        Operation::delete("/{id}", "customerDelete", customers::delete_current)
            .says("Delete a customer")
            .explains(
                "Marks the customer as deleted: sessions end, devices are disconnected, the record is kept for audit. With `hard=true` \
                 everything is erased.",
            )
            .may(Action::RetireCustomer)
            .parameters(&HARD)
            .answers(200, "The customer is deleted.", One(&records::CUSTOMER_DELETED))
            .refuses(400, "The credential is good for several organizations: name one in `X-Organization`.")
            .refuses(409, "A subscription is active or a transaction pending."),
    ];
    let operations = tagged("Customers", operations).collect();
    Surface { name: "Customer API", about: "The customer API.", dialect: &CUSTOMER, prefix: "/customer", operations }
}
