//! The organizations API's customers and what they own: the part of its page that would make it too long.

use std::sync::OnceLock;

use axum::http::Method;
use plane::dependants::Kind;
use plane::policy::Action;

use crate::body::Fields;
use crate::caller::{Caller, Segments};
use crate::catalogue::Content::{Nothing, One, Page};
use crate::catalogue::Operation;
use crate::handlers::{customers, dependants, purges};
use crate::parameters::{Confirm, CustomerFilter, CustomersWanted, Export, MetadataFilter, Purge, Reason};
use crate::schema::Type;

pub(crate) fn operations() -> Vec<Operation> {
    const BOTH: &[(&str, &str)] = &[("organizationId", "path.organizationId"), ("customerId", "body.id")];
    let mut operations = vec![
        Operation::get("/organizations/{organizationId}/customers", "listCustomers", customers::list)
            .says("List the customers")
            .may(Action::ReadCustomers)
            .parameters::<CustomerFilter>()
            .parameters::<MetadataFilter>()
            .parameters::<CustomersWanted>()
            .gives(200, "Customers, newest first; a reseller's own."),
        Operation::post("/organizations/{organizationId}/customers", "createCustomer", customers::create).etag()
            .says("Make a customer")
            .may(Action::WriteCustomers)
            .gives(201, "The customer.")
            .refuses(409, "The id is taken, or the organization is archived.")
            .leads("readCustomer", BOTH)
            .leads("CustomersController_remove", BOTH)
            .leads("createDevice", BOTH),
        Operation::post("/organizations/{organizationId}/customers:purge", "purgeCustomers", purges::order)
            .says("Delete many customers")
            .explains(
                "Customers that meet criteria, or those of a list (`text/csv`). Without `force` they are counted and nothing is changed. With it \
                 they are deleted for good in the background, each as by `DELETE`: **this cannot be undone.** It is one deletion; what became of \
                 each customer is at `/api/deletions/{id}/items`. One that is blocked keeps no other. Customers that are made later are not taken.",
            )
            .may(Action::DeleteCustomer)
            .parameters::<Purge>()
            .parameters::<Confirm>()
            .gives(202, "The customers will be deleted. This is the deletion's record.")
            .refuses(409, "The organization is archived, or something is missing of what it asks: `blockers` names each with its remedy.")
            .refuses(412, "There are not as many customers to be deleted as `count` says.")
            .refuses(413, "The list is larger than 12 MiB.")
            .leads("readDeletion", &[("id", "body.id")])
            .leads("listPurgeItems", &[("id", "body.id")]),
        Operation::get("/organizations/{organizationId}/customers/{customerId}", "readCustomer", customers::read).etag()
            .says("Read a customer")
            .may(Action::ReadCustomers)
            .parameters::<CustomersWanted>()
            .gives(200, "The customer."),
        change(Operation::put("/organizations/{organizationId}/customers/{customerId}", "updateCustomer", customers::update).etag()),
        change(Operation::patch("/organizations/{organizationId}/customers/{customerId}", "patchCustomer", customers::update).etag()),
        Operation::delete("/organizations/{organizationId}/customers/{customerId}", "CustomersController_remove", customers::delete).parameters::<Export>().parameters::<Confirm>().etag()
            .says("Delete a customer")
            .explains("Permanently deletes the customer and all it owns. **This cannot be undone.**")
            .may(Action::DeleteCustomer)
            .answers(204, "The customer is gone.", Nothing)
            .refuses(403, "User is not a member of this organization.")
            .refuses(404, "Customer not found.")
            .refuses(
                409,
                "A subscription is active, a transaction pending, or a legal hold forbids it: `blockers` names each with its remedy. Or the \
                 organization is archived.",
            ),
    ];
    operations.extend([
        Operation::post("/organizations/{organizationId}/customers/{customerId}/archive", "archiveCustomer", customers::archive).etag()
            .says("Archive a customer")
            .explains(
                "It becomes read-only: nothing about it or of what it owns can be added or changed. Its sessions end and its devices are \
                 disconnected, for good; all else is kept, and it can be read, exported and deleted. One that is archived already stays as it is.",
            )
            .may(Action::ArchiveCustomer)
            .gives(200, "The customer.")
            .refuses(409, "The organization is archived, or a legal hold keeps the customer's sessions and devices."),
        Operation::post("/organizations/{organizationId}/customers/{customerId}/unarchive", "unarchiveCustomer", customers::unarchive).etag()
            .says("Unarchive a customer")
            .explains("It can be changed again. One that is not archived stays as it is.")
            .may(Action::ArchiveCustomer)
            .gives(200, "The customer.")
            .refuses(409, "The organization is archived."),
    ]);
    operations.extend(KINDS.iter().flat_map(owned));
    operations
}

/// What is the same about every operation that changes a customer's fields.
pub(crate) fn change(operation: Operation) -> Operation {
    operation
        .says("Change a customer")
        .explains("What is missing stays, null takes away what may be missing. Metadata merges; an empty text takes a key away.")
        .may(Action::WriteCustomers)
        .gives(200, "The customer.")
        .refuses(409, "The customer or the organization is archived.")
}

/// One kind of what customers own, and how its operations are called.
struct Owned {
    kind: &'static str,
    many: &'static str,
    one: &'static str,
    ids: [&'static str; 4],
    says: [&'static str; 2],
    /// How its removal is called, of a kind that can be removed.
    removal: Option<(&'static str, &'static str)>,
    /// How its record is called, and what it is: itself, and one of several.
    name: &'static str,
    about: &'static str,
    entry: &'static str,
    record: OnceLock<Type>,
}

macro_rules! owned {
    ($kind:literal, $ids:expr, $says:expr, $name:literal, $about:literal, $entry:literal, $removal:expr) => {
        Owned {
            kind: $kind,
            many: concat!("/organizations/{organizationId}/customers/{customerId}/", $kind),
            one: concat!("/organizations/{organizationId}/customers/{customerId}/", $kind, "/{id}"),
            ids: $ids,
            says: $says,
            removal: $removal,
            name: $name,
            about: $about,
            entry: $entry,
            record: OnceLock::new(),
        }
    };
}

#[rustfmt::skip]
static KINDS: [Owned; 5] = [
    owned!("subscriptions", ["listSubscriptions", "createSubscription", "readSubscription", "updateSubscription"], ["List a customer's subscriptions", "Give a customer a subscription"], "Subscription", "A customer's subscription.", "a subscription", None),
    owned!("transactions", ["listTransactions", "createTransaction", "readTransaction", "updateTransaction"], ["List a customer's transactions", "Add a transaction of a customer"], "Transaction", "A customer's transaction.", "a transaction", None),
    owned!("devices", ["listDevices", "createDevice", "readDevice", "updateDevice"], ["List a customer's devices", "Add a device of a customer"], "Device", "A customer's device.", "a device", Some(("deleteDevice", "Disconnect a customer's device"))),
    owned!("sessions", ["listCustomerSessions", "createCustomerSession", "readCustomerSession", "updateCustomerSession"], ["List a customer's sessions", "Add a session of a customer"], "CustomerSession", "A customer's session in the product.", "a session", Some(("deleteCustomerSession", "End a customer's session"))),
    owned!("activity", ["listActivity", "createActivityEntry", "readActivityEntry", "updateActivityEntry"], ["List what a customer did", "Add something a customer did"], "ActivityEntry", "Something a customer did.", "an entry", None),
];

fn owned(owned: &'static Owned) -> Vec<Operation> {
    let Some(kind) = Kind::at(owned.kind) else { return Vec::new() };
    let record = owned.record.get_or_init(|| dependants::record(kind, owned.name, owned.about));
    let list = move |caller: Caller, Segments(at): Segments<(String, String)>| dependants::list(kind, caller, at);
    let read = move |caller: Caller, Segments(at): Segments<(String, String, String)>| dependants::read(kind, caller, at);
    let update =
        move |caller: Caller, Segments(at): Segments<(String, String, String)>, given: Fields| dependants::update(kind, caller, at, given);
    let create = move |caller: Caller, Segments(at): Segments<(String, String)>, given: Fields| dependants::create(kind, caller, at, given);
    const ENTRY: &[(&str, &str)] = &[("organizationId", "path.organizationId"), ("customerId", "path.customerId"), ("id", "body.id")];
    let removal = owned.removal.map(|(id, says)| {
        let remove = move |caller: Caller, Segments(at): Segments<(String, String, String)>| dependants::remove(kind, caller, at);
        Operation::new(Method::DELETE, owned.one, id, remove)
            .etag()
            .says(says)
            .explains("It is erased at once. The audit trail of the organization says so; the rest of the customer stays as it is.")
            .parameters::<Reason>()
            .may(Action::WriteCustomers)
            .answers(204, "The entry is gone.", Nothing)
            .refuses(409, "A legal hold on the customer or the organization forbids it, or one of them is archived.")
    });
    let mut operations = vec![
        Operation::get(owned.many, owned.ids[0], list).says(owned.says[0]).may(Action::ReadCustomers).answers(
            200,
            "Entries, newest first.",
            Page(record),
        ),
        Operation::post(owned.many, owned.ids[1], create)
            .etag()
            .says(owned.says[1])
            .may(Action::WriteCustomers)
            .takes(dependants::new_entry(kind, owned.name, owned.about))
            .leads(owned.ids[2], ENTRY)
            .answers(201, "The entry.", One(record)),
        Operation::get(owned.one, owned.ids[2], read).etag().says("Read an entry").may(Action::ReadCustomers).answers(
            200,
            "The entry.",
            One(record),
        ),
        Operation::patch(owned.one, owned.ids[3], update)
            .etag()
            .says("Change an entry")
            .explains("What is missing stays, null takes away what may be missing.")
            .may(Action::WriteCustomers)
            .takes(dependants::changed_entry(kind, owned.name, owned.entry))
            .answers(200, "The entry.", One(record))
            .refuses(409, "The organization is archived."),
    ];
    operations.extend(removal);
    operations
}
