//! What goes out: the records in answers.

use super::Is::{Anything, Counts, Events, Flag, Id, Named, Number, OrganizationId, Scopes, Text, Texts, Time, Url, Word};
use super::bodies::{ADDRESS, METADATA};
use super::{Shape, optional, plans, required, sometimes, words};

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

pub(crate) static USER: Shape = Shape::new(
    "User",
    "A user.",
    &[required("id", Id, ""), required("email", Text(1, 254), ""), required("name", Text(1, 100), "").like("Ada Lovelace")],
);

pub(crate) static OWN_USER: Shape =
    Shape::new("OwnUser", "A user as they see themselves.", &[required("metadata", METADATA, "What the user says about themselves.")])
        .upon(&USER);

pub(crate) static PREFERENCE: Shape = Shape::new(
    "Preference",
    "A user's stance on a trait.",
    &[
        required("trait", Text(1, 50), "For programs.").like("peanuts"),
        required("trait_label", Text(1, 100), "For people.").like("Peanuts"),
        required("category", Word(&["ALLERGEN", "DIETARY", "RELIGIOUS", "SOURCING", "OTHER"]), ""),
        required("stance", Word(&["AVOID", "REQUIRE", "PREFER", "NEUTRAL"]), "NEUTRAL when it was taken back."),
    ],
);

pub(crate) static ORGANIZATION: Shape = Shape::new(
    "Organization",
    "An organization.",
    &[
        required("id", OrganizationId, ""),
        required("name", Text(3, 100), "").like("Acme"),
        required("slug", Text(3, 50), "Unique and unchanging.").like("acme"),
        optional("logo", Text(1, 2_000), "Address of a picture.").like("https://example.com/logo.png"),
        optional("plan", Text(1, 100), "Not shown to publishable keys, like all that is not its public profile.").like("free"),
        optional("owner_id", Id, "Its owner; of several the one who has been a member longest."),
        optional("stripe_customer_id", Text(1, 100), "").like("cus_123"),
        optional("subscription_status", Text(1, 50), "").like("none"),
        optional("metadata", METADATA, "Texts by name."),
        optional("archived_at", Time, "Since when it is read-only."),
        required("created_at", Time, ""),
        required("updated_at", Time, ""),
    ],
);

pub(crate) static MEMBER: Shape = Shape::new(
    "Member",
    "A membership with its user.",
    &[
        required("id", Id, "The membership's id, not the user's."),
        required("user_id", Id, ""),
        required("email", Text(1, 254), ""),
        required("name", Text(1, 100), "").like("Ada Lovelace"),
        required("role", Named(&words::ROLE), ""),
        required("created_at", Time, ""),
    ],
);

pub(crate) static MEMBER_OUT: Shape = Shape::new(
    "MemberOut",
    "A membership with its user.",
    &[
        required("id", Id, "The membership's id, not the user's."),
        required("user_email", Text(1, 254), ""),
        required("user_name", Text(1, 100), "").like("Ada Lovelace"),
        required("user_metadata", METADATA, "What the user says about themselves."),
        required("role", Named(&words::ROLE), ""),
        required("role_display", Text(1, 50), "The role for people.").like("Editor"),
    ],
);

pub(crate) static INVITED_MEMBER: Shape = Shape::new(
    "InvitedMember",
    "A person who was invited, in the form of a member.",
    &[
        required("id", Id, "The invitation's id: the membership that it becomes has another."),
        required("user_email", Text(1, 254), "The address that was invited."),
        required("user_name", Text(0, 100), "The address' first part, until the person says more.").like("ada"),
        required("user_metadata", METADATA, "Empty, until the person says more."),
        required("role", Named(&words::ROLE), ""),
        required("role_display", Text(1, 50), "The role for people.").like("Editor"),
        required("status", Word(&["invited"]), ""),
        required("expires_at", Time, "Until when the invitation can be accepted."),
        required("token", Text(1, 500), "Accepts the invitation. Shown once."),
    ],
);

pub(crate) static INVITATION: Shape = Shape::new(
    "Invitation",
    "An invitation.",
    &[
        required("id", Id, ""),
        required("email", Text(1, 254), ""),
        required("role", Named(&words::ROLE), ""),
        required("status", Named(&words::INVITATION_STATUS), ""),
        required("created_at", Time, ""),
        required("expires_at", Time, "Until when it can be accepted."),
    ],
);

pub(crate) static NEW_INVITATION: Shape = Shape::new(
    "CreatedInvitation",
    "An invitation with its secret.",
    &[required("token", Text(1, 500), "Accepts the invitation. Shown once.")],
)
.upon(&INVITATION);

pub(crate) static ACCEPTED: Shape = Shape::new(
    "AcceptedInvitation",
    "The membership that an invitation became.",
    &[required("organization_id", OrganizationId, ""), required("member_id", Id, "")],
);

pub(crate) static CUSTOMER: Shape = Shape::new(
    "Customer",
    "A customer.",
    &[
        required("id", Text(1, 100), "Unique in the organization.").like("user123"),
        required("organization_id", OrganizationId, ""),
        required("name", Text(1, 200), "").like("Ada Lovelace"),
        required("email", Text(1, 254), ""),
        optional("phone", Text(1, 50), "").like("+44 20 7946 0000"),
        optional("tax_id", Text(1, 50), "").like("GB123456789"),
        required("address", ADDRESS, "").like("{\"city\":\"London\"}"),
        required("metadata", METADATA, ""),
        optional("managed_by", Id, "The member who manages the customer."),
        optional("expires_at", Time, "Until when the customer's credits last."),
        required("screens", COUNT, "How many screens were added.").like("2"),
        optional("archived_at", Time, "Since when it is read-only."),
        required("created_at", Time, ""),
        required("updated_at", Time, ""),
        sometimes("deleted_at", Time, "Since when it is softly deleted."),
    ],
);

pub(crate) static CUSTOMER_DELETED: Shape = Shape::new(
    "CustomerDeleted",
    "The customer API's words for a deletion that succeeded.",
    &[
        required("success", Flag, ""),
        required("message", Text(1, 200), "").like("Customer deleted successfully"),
        required("deleted_at", Time, ""),
    ],
);

pub(crate) static CUSTOMER_EXTENDED: Shape = Shape::new(
    "CustomerExtended",
    "The customer API's words for credits that were added.",
    &[
        required("success", Flag, ""),
        required("message", Text(1, 200), "").like("Customer extended successfully"),
        required("expires_at", Time, "Until when the customer's credits last now."),
    ],
);

pub(crate) static SCREEN_ADDED: Shape = Shape::new(
    "ScreenAdded",
    "The customer API's words for a screen that was added.",
    &[
        required("success", Flag, ""),
        required("message", Text(1, 200), "").like("Screen added successfully"),
        required("screens", COUNT, "How many the customer has now.").like("2"),
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

pub(crate) static API_KEY: Shape = Shape::new(
    "ApiKey",
    "An API key without its secret.",
    &[
        required("id", Id, ""),
        optional(
            "member_id",
            Id,
            "The member it acts as; null for a service account, and for a person's own key, which acts as them in all their organizations.",
        ),
        optional("role", Named(&words::SERVICE_ROLE), "What a service account is in the organization; null for other keys."),
        optional("created_by", Id, "The member who made a service account, who may know its secret; null when they have left."),
        required("kind", Named(&words::KEY_KIND), ""),
        required("name", Text(3, 50), "").like("Back end"),
        optional("description", Text(0, 200), "").like("Nightly import"),
        required("hint", Text(1, 20), "Prefix and last characters, to tell keys apart.").like("csb_…81f2"),
        required("scopes", Scopes, ""),
        optional("rate_limit_per_minute", Number(1, 1_000_000), "Requests a minute of its own.").like("600"),
        optional("rate_limit_per_hour", Number(1, 60_000_000), "Requests an hour of its own.").like("10000"),
        required("allowed_ips", Texts(50), "Addresses and networks it may be used from; anywhere if there are none.")
            .like("[\"192.0.2.7\",\"10.0.0.0/8\"]"),
        required("metadata", METADATA, "Texts by name."),
        required("is_active", Flag, "Whether it is switched on."),
        required("created_at", Time, ""),
        optional("expires_at", Time, ""),
        optional("last_used_at", Time, "When it was last used."),
        optional("previous_until", Time, "Until when the secret is good that it had before its last rotation."),
        optional("made_by", Id, "The key or token that made it, with which it ends; null if a person did."),
    ],
);

pub(crate) static VALIDATED_API_KEY: Shape = Shape::new(
    "ValidatedApiKey",
    "A key that is good.",
    &[
        required("valid", Flag, "True: of a key that is not good nothing is told."),
        required("id", Id, ""),
        required("name", Text(3, 50), "").like("Back end"),
        optional("organization_id", OrganizationId, "The organization it is bound to; null for a person's own key."),
        required("scopes", Scopes, ""),
        optional("expires_at", Time, ""),
        required("is_active", Flag, "True: a key that is switched off is refused."),
    ],
);

pub(crate) static NEW_API_KEY: Shape = Shape::new(
    "CreatedApiKey",
    "An API key with its secret.",
    &[required("key", Text(1, 100), "The key, for the header `X-API-Key`. Shown once.")
        .like("csb_0123456789ABCDEFGHIJKLMNOPQRSTUV_2d4f1c81")],
)
.upon(&API_KEY);

pub(crate) static WEBHOOK: Shape = Shape::new(
    "Webhook",
    "A webhook without its secret.",
    &[
        required("id", Id, ""),
        required("url", Url, "Where deliveries go.").like("https://example.com/hook"),
        optional("description", Text(0, 200), "").like("Keeps our CRM up to date"),
        required("events", Events, "What it is told."),
        required("is_active", Flag, "Whether it is told anything."),
        optional("old_secret_until", Time, "Until when the secret before the present one signs, too."),
        required("created_at", Time, ""),
        required("updated_at", Time, ""),
    ],
);

pub(crate) static NEW_WEBHOOK: Shape = Shape::new(
    "CreatedWebhook",
    "A webhook with its secret.",
    &[required("secret", Text(1, 100), "Signs every delivery (Standard Webhooks). Shown once.")
        .like("whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=")],
)
.upon(&WEBHOOK);

pub(crate) static DELIVERY: Shape = Shape::new(
    "Delivery",
    "What a webhook was told, or is still to be told.",
    &[
        required("id", Id, "The event's id: the header `webhook-id`, the same for every webhook and every attempt."),
        required("event", Text(1, 50), "").like("customer.deleted"),
        optional("payload", Anything, "What is sent; null once the deletion it speaks of is sealed."),
        required("state", Named(&words::DELIVERY_STATE), ""),
        required("attempts", COUNT, "Attempts that came to an end; there are four at the most.").like("1"),
        optional("response_status", Number(100, 999), "The status of the last answer.").like("204"),
        optional("error", Text(1, 200), "Why the last attempt failed.").like("no answer within 10 seconds"),
        optional("next_attempt_at", Time, "While it is pending."),
        required("created_at", Time, "When it happened."),
        optional("finished_at", Time, ""),
    ],
);

pub(crate) static TEST_EVENT: Shape =
    Shape::new("TestEvent", "A test event on its way.", &[required("id", Id, "The event's id: its delivery is in the history.")]);

pub(crate) static OWN_API_KEY: Shape = Shape::new(
    "OwnApiKey",
    "The key that the request came with.",
    &[required("id", Id, ""), required("scopes", Scopes, ""), optional("expires_at", Time, "")],
);

pub(crate) static NAMED_ORGANIZATION: Shape = Shape::new(
    "NamedOrganization",
    "An organization's id and name.",
    &[required("id", OrganizationId, ""), required("name", Text(3, 100), "").like("Acme")],
);

pub(crate) static WHOAMI: Shape = Shape::new(
    "Whoami",
    "Who the credential stands for.",
    &[
        required("user_id", Id, ""),
        required("email", Text(1, 254), ""),
        required("organizations", super::Is::Objects(&NAMED_ORGANIZATION), "Those the credential is good for."),
        required("metadata", METADATA, ""),
        optional("api_key", super::Is::Maybe(&OWN_API_KEY), ""),
    ],
);

const ACTOR: super::Is = Named(&words::ACTOR);

pub(crate) static AUDIT_ENTRY: Shape = Shape::new(
    "AuditEntry",
    "Who did, or tried to do, what, when, to which subject, and why.",
    &[
        required("id", Id, ""),
        required("action", Named(&words::AUDIT_ACTION), ""),
        required("outcome", Named(&words::AUDIT_OUTCOME), ""),
        required("subject", Text(1, 50), "The kind of subject.").like("customer"),
        optional("subject_id", Id, ""),
        optional("subject_label", Text(0, 200), "How the caller named it; null once it is deleted.").like("user123"),
        required("actor", ACTOR, ""),
        optional("actor_id", Id, "The user who acted."),
        optional("credential_id", Id, "The session, key or token they used."),
        optional("reason", Text(0, 500), "Why, in the actor's words.").like("The contract ended"),
        optional(
            "detail",
            Text(0, 100_000),
            "For attempts that were not done: what the actor was told. For others: what exactly was done.",
        )
        .like("Customer not found"),
        optional("deletion_id", Id, "The deletion it began."),
        optional("request_id", Text(1, 64), "Null for an attempt of a stranger, whose text it may be.")
            .like("0192f7c1a2b34c5d8e9f0a1b2c3d4e5f"),
        optional("client_address", Text(1, 50), "From where a sign-in came, as long as that is kept.").like("192.0.2.7"),
        required("created_at", Time, ""),
    ],
);

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
            "From the order on nobody has access. `reversible`: it can be taken back until `reversibleUntil`, and nothing is erased yet. After \
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
        optional("rows_to_do", COUNT, "Rows that are still to be, estimated when somebody first looked; null while that is not known.")
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
        optional("stopped_at", Time, "When the purge that it is was stopped: nobody was deleted after that."),
    ],
);

pub(crate) static HOLD: Shape = Shape::new(
    "Hold",
    "A legal hold: while it is in force, nothing deletes what it is on.",
    &[
        required("id", Id, ""),
        required("organization_id", OrganizationId, ""),
        required("subject", Word(&["organization", "customer", "user"]), "What is held.").like("customer"),
        required("subject_id", Id, ""),
        optional("subject_label", Text(0, 200), "The customer's id; null for others, and once the customer is deleted.").like("user123"),
        required("state", Named(&words::HOLD_STATE), "`active` while it is in force, `expired` when it has ended by itself."),
        required("reason", Text(1, 500), "Why, in the words of whoever placed it.").like("Case 2026-17"),
        optional("until", Time, "When it ends by itself; null when only a release ends it."),
        required("placed_by", ACTOR, ""),
        optional("placed_by_id", Id, "The user who placed it."),
        required("placed_at", Time, ""),
        optional("released_by", ACTOR, ""),
        optional("released_by_id", Id, "The user who released it."),
        optional("released_at", Time, ""),
        optional("release_reason", Text(1, 500), "Why, in their words.").like("The case is closed"),
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
