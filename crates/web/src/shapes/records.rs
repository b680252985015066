//! What goes out: the records in answers.

use super::Is::{Anything, Counts, Flag, Id, Named, Number, OrganizationId, Text, Time, Word};
use super::{Shape, optional, plans, required, words};

const COUNT: super::Is = Number(0, super::MOST_COUNTED);

pub(crate) static PAGINATION: Shape = Shape::new(
    "Pagination",
    "Where in the list this page is.",
    &[
        required("page", Number(1, 1_000_000_000), "From 1."),
        required("page_size", Number(1, 100), "Entries on a page.").like("25"),
        required("total_count", COUNT, "Entries on all pages.").like("342"),
        required("total_pages", COUNT, "").like("14"),
        required("has_next", Flag, ""),
        required("has_previous", Flag, ""),
    ],
);

pub(crate) static SLICE: Shape = Shape::new(
    "Slice",
    "Where in the list this slice is.",
    &[
        required("page_size", Number(1, 100), "Entries in a slice.").like("25"),
        required("has_next", Flag, ""),
        optional("next_cursor", Text(1, 100), "What to give as `after` for the next slice; null after the last."),
    ],
);

pub(crate) static MESSAGE: Shape = Shape::new("Message", "A sentence for people.", &[required("message", Text(0, 500), "")]);

pub(crate) static SIGNED_IN: Shape = Shape::new(
    "SignedIn",
    "Tokens, in OAuth's spelling (RFC 6749). The answer also sets the cookie `sessionid`.",
    &[
        required("access_token", Text(1, 2_000), "A JWT for `Authorization: Bearer`."),
        required("token_type", Named(&words::TOKEN_TYPE), ""),
        required("expires_in", COUNT, "Seconds for which the access token is good.").like("900"),
        required("refresh_token", Text(1, 500), "Good for one new pair."),
    ],
)
.verbatim();

pub(crate) static CUSTOMER_DELETED: Shape = Shape::new(
    "CustomerDeleted",
    "The customer API's words for a deletion that succeeded.",
    &[
        required("success", Flag, ""),
        required("message", Text(1, 200), "").like("Customer deleted successfully"),
        required("deleted_at", Time, ""),
    ],
);

pub(crate) static SUBSCRIPTION: Shape = Shape::new(
    "Subscription",
    "A customer's subscription.",
    &[
        required("id", Id, ""),
        required("created_at", Time, ""),
        required("plan", Text(1, 100), "").like("basic"),
        required("status", Named(&words::SUBSCRIPTION_STATUS), ""),
        required("starts_at", Time, ""),
        optional("ends_at", Time, ""),
    ],
);

pub(crate) static TRANSACTION: Shape = Shape::new(
    "Transaction",
    "A customer's transaction.",
    &[
        required("id", Id, ""),
        required("created_at", Time, ""),
        required("amount", Number(i64::MIN, i64::MAX), "In the currency's smallest unit.").like("1999"),
        required("currency", Text(1, 3), "").like("EUR"),
        required("status", Named(&words::TRANSACTION_STATUS), ""),
        optional("description", Text(1, 500), "").like("Invoice 42"),
    ],
);

pub(crate) static DEVICE: Shape = Shape::new(
    "Device",
    "A customer's device.",
    &[
        required("id", Id, ""),
        required("created_at", Time, ""),
        required("name", Text(1, 100), "").like("Laptop"),
        optional("platform", Text(1, 50), "").like("linux"),
    ],
);

pub(crate) static CUSTOMER_SESSION: Shape = Shape::new(
    "CustomerSession",
    "A customer's session in the product.",
    &[
        required("id", Id, ""),
        required("created_at", Time, ""),
        optional("ip_address", Text(1, 45), "").like("192.0.2.7"),
        optional("user_agent", Text(1, 500), "").like("curl/8"),
    ],
);

pub(crate) static ACTIVITY: Shape = Shape::new(
    "ActivityEntry",
    "Something a customer did.",
    &[
        required("id", Id, ""),
        required("created_at", Time, ""),
        required("kind", Text(1, 100), "").like("signed_in"),
        optional("message", Text(1, 2_000), "").like("From a new place"),
    ],
);

const ACTOR: super::Is = Named(&words::ACTOR);

pub(crate) static DELETION: Shape = Shape::new(
    "Deletion",
    "A deletion: who ordered what, how far it is, and the receipt of what was done.",
    &[
        required("id", Id, ""),
        required("organization_id", OrganizationId, ""),
        required("root", Named(&words::DELETION_ROOT), "The rules it follows."),
        required("subject_id", Id, ""),
        optional("subject_label", Text(0, 200), "How the caller named it; null after the seal.").like("user123"),
        required(
            "state",
            Named(&words::DELETION_STATE),
            "From the order on access has ended. `reversible`: it can be taken back until `reversibleUntil`, and nothing is erased yet. After \
             `sealed` nothing is left; after `restored` everything is there again but the credentials.",
        ),
        required("actor", ACTOR, ""),
        optional("actor_id", Id, "The user who ordered it."),
        optional("reason", Text(0, 500), "Why, in their words.").like("The contract ended"),
        required("request_id", Text(1, 64), "").like("0192f7c1a2b34c5d8e9f0a1b2c3d4e5f"),
        required("counts", Counts, "Rows erased or redacted so far, by table; of a purge its customers so far, by outcome."),
        required("effects", Anything, "What was done outside of the database; empty if nothing was to be done.")
            .like("{\"webhooks\":{\"delivered\":2,\"failed\":0}}"),
        optional("export_id", Id, "The export that was ordered with it: nothing is erased before that is done."),
        required("batches", COUNT, "Transactions that the drain took.").like("3"),
        required("longest_batch_micros", COUNT, "The longest of them, in microseconds.").like("41000"),
        optional("waiting_for", Text(0, 1_000), "What it waits for, when it cannot go on.").like("2 webhook deliveries"),
        optional("stage", Text(1, 50), "The table it is at, or `sweep`, where it looks whether anything is left.").like("transactions"),
        required("rows_done", COUNT, "Rows erased or redacted so far; of a purge customers.").like("12000"),
        optional(
            "rows_to_do",
            COUNT,
            "Rows that are still to be, estimated when the deletion was first read; null while that is not known.",
        )
        .like("88000"),
        optional("rate", COUNT, "Rows in a second: of the last seconds in a stream, otherwise since it was ordered; null while it waits.")
            .like("40000"),
        optional("eta_seconds", COUNT, "Seconds until nothing is left to do at that rate.").like("3"),
        required("conditions", super::Is::Objects(&CONDITION), "What it waits for now."),
        required("created_at", Time, ""),
        required("updated_at", Time, ""),
        optional("sealed_at", Time, ""),
        optional("reversible_until", Time, "Until when it can or could be taken back; null for one without a grace period."),
        optional("restored_at", Time, "When it was taken back."),
        optional("stopped_at", Time, "When the purge that it is was stopped: no customer was deleted after that."),
    ],
);

static EXPORTED_TABLE: Shape = Shape::new(
    "ExportedTable",
    "One table's part of an export.",
    &[required("table", Text(1, 50), "").like("customers"), required("rows", COUNT, "Rows written so far.").like("3")],
);

pub(crate) static EXPORT: Shape = Shape::new(
    "Export",
    "An export: who ordered what, how far it is, and until when it can be downloaded.",
    &[
        required("id", Id, ""),
        required("organization_id", OrganizationId, ""),
        required("root", Word(&["organization", "customer"]), "What is exported."),
        required("subject_id", Id, ""),
        optional("subject_label", Text(0, 200), "How the caller named it; null once it has expired.").like("user123"),
        optional("deletion_id", Id, "The deletion that waits for it."),
        required("state", Named(&words::EXPORT_STATE), "It can be downloaded while it is `done`."),
        required("actor", ACTOR, ""),
        optional("actor_id", Id, "The user who ordered it."),
        required("tables", super::Is::Objects(&EXPORTED_TABLE), "Those that were begun."),
        required("rows_done", COUNT, "Rows written so far.").like("3"),
        optional("rows_total", COUNT, "How many there were when it began.").like("3"),
        optional("bytes", COUNT, "The archive's size.").like("4096"),
        optional("sha256", Text(64, 64), "The archive's SHA-256, in hexadecimal digits.")
            .like("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        optional("error", Text(0, 1_000), "Why it failed, or is being tried again."),
        required("created_at", Time, ""),
        optional("finished_at", Time, ""),
        optional("expires_at", Time, "When the archive is removed."),
    ],
);

static CONDITION: Shape = Shape::new(
    "Condition",
    "Something that a deletion waits for.",
    &[
        required("type", Named(&words::CONDITION_TYPE), "Stable and machine-readable."),
        required("since", Time, ""),
        required("detail", Text(1, 2_000), "For people.")
            .like("Deliveries to webhooks of the organization that have not come to their end: 2."),
        required("remedy", Text(1, 500), "What would let it go on.")
            .like("It goes on by itself: each webhook is told or given up within two minutes."),
    ],
);

pub(crate) static DELETED: Shape = Shape::new(
    "Deleted",
    "A deletion that was ordered: access has ended.",
    &[required("deletion_id", Id, "The deletion's id, as in the header `Deletion-Id`: its record is at `/api/deletions/{id}`.")],
);

pub(crate) static KEY_REVOKED: Shape = Shape::new(
    "KeyRevoked",
    "A key that is gone.",
    &[optional(
        "deletion_id",
        Id,
        "The deletion's id, as in the header `Deletion-Id`; null for a person's own key, which has no such record.",
    )],
);

pub(crate) static HEALTH: Shape = Shape::new("Health", "How the server is.", &[required("status", Word(&["live", "ready"]), "")]);

pub(crate) static READINESS: Shape = Shape::new(
    "Readiness",
    "Whether the server can work.",
    &[required("status", Word(&["ready"]), ""), required("engine", Word(&["sqlite", "postgresql"]), "")],
);

pub(crate) static FIELD_ERROR: Shape = Shape::new(
    "FieldError",
    "One field that is not acceptable.",
    &[
        required("field", Text(0, 500), "").like("name"),
        required("code", Text(1, 50), "Stable and machine-readable.").like("too_short"),
        required("message", Text(1, 500), "For people.").like("must have 3 or more characters"),
    ],
);

/// The members that only some errors have.
pub(crate) static PROBLEM_EXTRAS: [(&str, super::Is, &str); 5] = [
    ("errors", super::Is::Objects(&FIELD_ERROR), "The fields that are not acceptable."),
    ("blockers", super::Is::Objects(&plans::BLOCKER), "Everything that stands in the way of a deletion."),
    ("drift", super::Is::Objects(&plans::DRIFT), "What differs from the plan of a deletion."),
    ("retry_after_seconds", Number(0, 86_400), "Seconds after which the request may succeed."),
    ("error_description", Text(1, 1_000), "At a token endpoint the same as `detail` (RFC 6749)."),
];

/// What every error has (RFC 9457), on every surface.
pub(crate) static PROBLEM: Shape = Shape::new(
    "Problem",
    "An error (RFC 9457).",
    &[
        required("type", super::Is::Url, "A page about errors of this kind.").like("http://localhost:3001/docs/errors/not_found"),
        required("title", Text(1, 100), "").like("Not Found"),
        required("status", Number(400, 599), "").like("404"),
        required("detail", Text(0, 100_000), "What was wrong, for people.").like("The requested resource was not found."),
        required("error_code", Named(&words::ERROR_CODE), "Stable and machine-readable."),
        required("retryable", Flag, "Whether the same request may succeed later."),
        required("timestamp", Time, "").like("2026-03-31T12:00:00+00:00"),
        required("request_id", Text(1, 64), "For the server's operators.").like("0192f7c1a2b34c5d8e9f0a1b2c3d4e5f"),
    ],
)
.verbatim();
