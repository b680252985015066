//! What comes in: the bodies of requests.

use super::Is::{
    Email, Events, Flag, Id, Map, Maybe, Named, Number, NumberOrText, Pairs, Password, Pattern, Scopes, Text, Texts, Time, Url, Word, Yes,
};
use super::words::{KEY_KIND, ROLE, SERVICE_ROLE, SUBSCRIPTION_STATUS, TRANSACTION_STATUS};
use super::{Field, Shape, optional, required, sometimes};

pub(crate) const METADATA: super::Is = Map(50, 40, 500);
pub(crate) const ADDRESS: super::Is = Map(20, 40, 200);

pub(crate) static SIGN_UP: Shape = Shape::new(
    "SignUp",
    "A new user.",
    &[
        required("email", Email, "Unique without regard to case."),
        required("password", Password, "").like("correct horse battery staple"),
        optional("name", Text(1, 100), "How the person wants to be called; the address' first part if missing.").like("Ada Lovelace"),
    ],
);

pub(crate) static SIGN_IN: Shape = Shape::new("SignIn", "Who signs in.", &[
        required("email", Email, ""),
        required("password", Text(0, 1_000), "").like("correct horse battery staple"),
        optional("organization", super::ORGANIZATION, "Binds the session to this organization (UUID, shortuuid or slug): it is good nowhere else, and addresses without an organization mean it.")
            .like("acme"),
    ],
);

pub(crate) static REFRESH: Shape = Shape::new(
    "Refresh",
    "A refresh token. `refresh_token`, as OAuth spells it, is read too.",
    &[required("refresh_token", Text(1, 500), "Good once.").like("c0ffee")],
);

pub(crate) static NEW_ORGANIZATION: Shape = Shape::new(
    "NewOrganization",
    "A new organization. Who makes it is its owner.",
    &[
        required("name", Text(3, 100), "").like("Acme"),
        required("slug", Pattern("^[a-z0-9-]{3,50}$", 50), "Unique and unchanging. Must not read as an id.").like("acme"),
        optional("logo", Url, "Address of a picture, http or https.").like("https://example.com/logo.png"),
        optional("metadata", METADATA, "Texts by name."),
    ],
);

pub(crate) static ORGANIZATION_CHANGE: Shape = Shape::new(
    "OrganizationChange",
    "What shall be changed about an organization. What is missing stays.",
    &[
        optional("name", Text(3, 100), "").like("Acme"),
        optional("slug", Text(3, 50), "Never changes: leave it out, or send the one it has.").like("acme").fixed(),
        optional("logo", Url, "Address of a picture, http or https; null takes it away.").like("https://example.com/logo.png"),
        optional("metadata", METADATA, "Merged into what is there; an empty text takes a key away."),
    ],
);

pub(crate) static NEW_OWNER: Shape =
    Shape::new("NewOwner", "Who shall own the organization.", &[required("member_id", Id, "The membership's id, not the user's.")]);

pub(crate) static RECOVERY: Shape = Shape::new(
    "Recovery",
    "Who shall own an organization whose owners cannot act.",
    &[
        required("email", Email, "Of an account, whether or not it is a member's."),
        required(
            "reason",
            Text(1, 500),
            "Why, in your words: kept in the audit trails of the organization and the server. No personal data, please.",
        )
        .like("Its only owner has left the company"),
    ],
);

pub(crate) static NEW_ROLE: Shape = Shape::new("NewRole", "What a member shall be.", &[required("role", Named(&ROLE), "")]);

pub(crate) static USER_CHANGE: Shape = Shape::new(
    "UserChange",
    "What a user changes about themselves. What is missing stays.",
    &[
        optional("name", Text(1, 100), "").like("Ada Lovelace"),
        optional("metadata", METADATA, "Merged into what is there; an empty text takes a key away."),
    ],
);

pub(crate) static NEW_PASSWORD: Shape = Shape::new(
    "NewPassword",
    "A new password, and the one it replaces.",
    &[
        required("current_password", Text(0, 1_000), "").like("my old password"),
        required("new_password", Password, "").like("correct horse battery staple"),
    ],
);

pub(crate) static NEW_INVITATION: Shape = Shape::new(
    "NewInvitation",
    "Who is invited, as what.",
    &[required("email", Email, ""), optional("role", Named(&ROLE), "member if missing.")],
);

pub(crate) static ACCEPT_INVITATION: Shape =
    Shape::new("AcceptInvitation", "The secret of an invitation.", &[required("token", Text(1, 500), "").like("c0ffee")]);

pub(crate) static NEW_CUSTOMER: Shape = Shape::new(
    "NewCustomer",
    "A new customer.",
    &[
        optional(
            "id",
            Pattern("^[!-.0-~]{1,100}$", 100),
            "Unique in the organization: 1 to 100 visible ASCII characters without `/`, not `.` or `..`; made up if missing.",
        )
        .like("user123"),
        optional("name", Text(1, 200), "This or `legalName` is required.").like("Ada Lovelace"),
        optional("legal_name", Text(1, 200), "The same as `name`.").like("Ada Lovelace"),
        required("email", Email, ""),
        optional("phone", Text(1, 50), "").like("+44 20 7946 0000"),
        optional("tax_id", Text(1, 50), "").like("GB123456789"),
        optional("address", ADDRESS, "Texts by name.").like("{\"city\":\"London\"}"),
        optional("metadata", METADATA, "Texts by name."),
        optional("managed_by", Id, "The member who manages the customer. A reseller's customers are always their own.").unshown(),
    ],
);

pub(crate) static CUSTOMER_CHANGE: Shape = Shape::new(
    "CustomerChange",
    "What shall be changed about a customer. What is missing stays.",
    &[
        optional("id", Text(1, 100), "Never changes: leave it out, or send the one it has.").like("user123").fixed(),
        optional("name", Text(1, 200), "").like("Ada Lovelace"),
        optional("legal_name", Text(1, 200), "The same as `name`.").like("Ada Lovelace"),
        optional("email", Email, ""),
        optional("phone", Text(1, 50), "Null takes it away.").like("+44 20 7946 0000"),
        optional("tax_id", Text(1, 50), "Null takes it away.").like("GB123456789"),
        optional("address", ADDRESS, "Takes the place of the old one; null takes it away.").like("{\"city\":\"London\"}"),
        optional("metadata", METADATA, "Merged into what is there; an empty text takes a key away."),
        optional("managed_by", Id, "The member who shall manage the customer; null for nobody. For those who may assign customers.")
            .unshown(),
    ],
);

pub(crate) static CUSTOMER_CRITERIA: Shape = Shape::new(
    "CustomerCriteria",
    "What customers have in common: those are meant who meet all that is given.",
    &[
        sometimes("created_before", Time, "Made before this.").like("2020-01-31T12:00:00Z"),
        sometimes("created_after", Time, "Made at this time or later.").like("2019-01-31T12:00:00Z"),
        sometimes("updated_before", Time, "Last changed before this.").like("2021-01-31T12:00:00Z"),
        sometimes("managed_by", Id, "Under this member's management.").unshown(),
        sometimes("email_domain", Text(1, 253), "With an address of this domain, in whatever case.").like("example.com"),
        sometimes("metadata", Pairs(50, 40, 500), "With each of these texts among their metadata."),
        sometimes(
            "state",
            Word(&["deleted"]),
            "Those who were softly deleted, in the place of those who are there. For whoever may hard-delete them.",
        )
        .unshown(),
        sometimes("all", Yes, "All of them: what to say where nothing else is given."),
    ],
)
.not_empty();

pub(crate) static CUSTOMER_PURGE: Shape = Shape::new(
    "CustomerPurge",
    "Customers to be deleted at once.",
    &[
        required("filter", Maybe(&CUSTOMER_CRITERIA), "Which customers."),
        optional("force", Flag, "Deletes them. Without it they are counted and nothing is changed.").like("false"),
        optional("reason", Text(0, 500), "Why, in your words: kept in the audit trail and the records. No personal data, please.")
            .like("Trials that ended"),
    ],
);

pub(crate) static CREDITS: Shape =
    Shape::new("Credits", "Credits for a customer: 30 days each.", &[required("credits", Number(1, 120), "").like("12")]);

pub(crate) static NEW_HOLD: Shape = Shape::new(
    "NewHold",
    "A new legal hold.",
    &[
        required("reason", Text(1, 500), "Why, in your words: whoever tries to delete is told. No personal data, please.")
            .like("Case 2026-17"),
        optional("until", Time, "When it ends by itself, in the future; without it, it lasts until somebody releases it.")
            .like("2030-01-31T12:00:00Z"),
    ],
);

pub(crate) static HOLD_RELEASE: Shape = Shape::new(
    "HoldRelease",
    "The end of a legal hold.",
    &[required("reason", Text(1, 500), "Why, in your words: kept in the record and the audit trail. No personal data, please.")
        .like("The case is closed")],
);

pub(crate) static NEW_SCREEN: Shape = Shape::new(
    "NewScreen",
    "A screen for a customer.",
    &[required(
        "pass_id",
        NumberOrText(100),
        "The pass, which is used once in an organization: a whole number, or a text. 7 and \"7\" are the same.",
    )
    .like("7")],
);

pub(crate) static NEW_API_KEY: Shape = Shape::new(
    "NewApiKey",
    "A new API key. It acts as the member who makes it, or with a role of its own as a service account, within its scopes.",
    &[
        required("name", Text(3, 50), "").like("Back end"),
        optional(
            "kind",
            Named(&KEY_KIND),
            "organization (`csb_…`) if missing; publishable `cpk_…`; user `csu_…`: your own, good in all your organizations and listed with you.",
        ),
        optional(
            "role",
            Named(&SERVICE_ROLE),
            "Makes it a service account: the organization's own key, which acts as itself with this role and outlives the member who made it. \
             Giving a role needs its scopes.",
        ),
        optional("description", Text(0, 200), "").like("Nightly import"),
        optional("scopes", Scopes, "Reading its maker, organization, members and customers if missing."),
        KEY_PER_MINUTE,
        KEY_PER_HOUR,
        KEY_ADDRESSES,
        optional("expires_at", Time, "In the future.").like("2030-01-31T12:00:00Z"),
        optional("metadata", METADATA, "Texts by name."),
    ],
);

pub(crate) static ROTATION: Shape = Shape::new(
    "Rotation",
    "How an API key gets a new secret.",
    &[optional("overlap_seconds", Number(0, 604_800), "How long the secret before it is good still: up to 7 days, one day if missing.")
        .like("3600")],
);

pub(crate) static NEW_PERSONAL_API_KEY: Shape = Shape::new(
    "NewPersonalApiKey",
    "A new API key of one's own (`csu_…`). It acts as its person in all their organizations, within its scopes.",
    &[
        required("name", Text(3, 50), "").like("Laptop"),
        optional("description", Text(0, 200), "").like("Scripts of mine"),
        optional("scopes", Scopes, "Reading oneself, organizations, members and customers if missing."),
        KEY_PER_MINUTE,
        KEY_PER_HOUR,
        KEY_ADDRESSES,
        optional("expires_at", Time, "In the future.").like("2030-01-31T12:00:00Z"),
        optional("metadata", METADATA, "Texts by name."),
    ],
);

const WHERE_TO: &str = "Where deliveries go: https, on the public internet; no user, password or fragment. Networks of one's own, over http \
                        too, are for the server's operator to allow. Kept in its normal form.";

pub(crate) static NEW_WEBHOOK: Shape = Shape::new(
    "NewWebhook",
    "A new webhook.",
    &[
        required("url", Url, WHERE_TO).like("https://example.com/hook"),
        required("events", Events, "What it is told: one or more."),
        optional("description", Text(0, 200), "").like("Keeps our CRM up to date"),
        optional("is_active", Flag, "Whether it is told anything; true if missing."),
    ],
);

pub(crate) static WEBHOOK_CHANGE: Shape = Shape::new(
    "WebhookChange",
    "What shall change of a webhook; what is missing stays.",
    &[
        optional("url", Url, WHERE_TO).like("https://example.com/hook"),
        optional("events", Events, "What it is told: one or more."),
        optional("description", Text(0, 200), "Empty takes it away.").like("Keeps our CRM up to date"),
        optional("is_active", Flag, "Whether it is told anything."),
    ],
);

const KEY_PER_MINUTE: Field = optional(
    "rate_limit_per_minute",
    Number(1, 1_000_000),
    "Requests a minute, in the place of the server's limit. 100 at the most for a publishable key.",
)
.like("600");
const KEY_PER_HOUR: Field =
    optional("rate_limit_per_hour", Number(1, 60_000_000), "Requests an hour, beside the limits for the minute and the day.").like("10000");
const KEY_ADDRESSES: Field =
    optional("allowed_ips", Texts(50), "Addresses and networks the key may be used from; anywhere if there are none.")
        .like("[\"192.0.2.7\",\"10.0.0.0/8\"]");

pub(crate) static CHANGE_API_KEY: Shape = Shape::new(
    "ChangeApiKey",
    "What is to be changed of an API key. What is missing stays; null empties what may be empty.",
    &[
        optional("name", Text(3, 50), "").like("Back end"),
        optional("description", Text(0, 200), "").like("Nightly import"),
        optional("scopes", Scopes, "None that the credential lacks itself; only `read:organization` for a publishable key."),
        KEY_PER_MINUTE,
        KEY_PER_HOUR,
        KEY_ADDRESSES,
        optional("expires_at", Time, "In the future.").like("2030-01-31T12:00:00Z"),
        optional("is_active", Flag, "A key that is switched off is refused with 401 until it is switched on again."),
        optional("metadata", METADATA, "Merged into what is there; an empty text takes a key away."),
    ],
);

pub(crate) static NEW_SUBSCRIPTION: Shape = Shape::new(
    "NewSubscription",
    "A customer's subscription.",
    &[
        required("plan", Text(1, 100), "").like("basic"),
        optional("status", Named(&SUBSCRIPTION_STATUS), "active if missing."),
        optional("starts_at", Time, "Now if missing."),
        optional("ends_at", Time, ""),
    ],
);

pub(crate) static NEW_TRANSACTION: Shape = Shape::new(
    "NewTransaction",
    "A customer's transaction.",
    &[
        required("amount", Number(i64::MIN, i64::MAX), "In the currency's smallest unit.").like("1999"),
        required("currency", Text(1, 3), "").like("EUR"),
        optional("status", Named(&TRANSACTION_STATUS), "settled if missing."),
        optional("description", Text(1, 500), "").like("Invoice 42"),
    ],
);

pub(crate) static NEW_DEVICE: Shape = Shape::new(
    "NewDevice",
    "A customer's device.",
    &[required("name", Text(1, 100), "").like("Laptop"), optional("platform", Text(1, 50), "").like("linux")],
);

pub(crate) static NEW_CUSTOMER_SESSION: Shape = Shape::new(
    "NewCustomerSession",
    "A customer's session in the product.",
    &[optional("ip_address", Text(1, 45), "").like("192.0.2.7"), optional("user_agent", Text(1, 500), "").like("curl/8")],
);

pub(crate) static NEW_ACTIVITY: Shape = Shape::new(
    "NewActivityEntry",
    "Something a customer did.",
    &[required("kind", Text(1, 100), "").like("signed_in"), optional("message", Text(1, 2_000), "").like("From a new place")],
);

pub(crate) static SUBSCRIPTION_CHANGE: Shape = Shape::new(
    "SubscriptionChange",
    "What shall be changed about a subscription. What is missing stays.",
    &[
        sometimes("plan", Text(1, 100), "").like("basic"),
        sometimes("status", Named(&SUBSCRIPTION_STATUS), "").like("cancelled"),
        sometimes("starts_at", Time, ""),
        optional("ends_at", Time, "Null takes it away."),
    ],
);

pub(crate) static TRANSACTION_CHANGE: Shape = Shape::new(
    "TransactionChange",
    "What shall be changed about a transaction. What is missing stays.",
    &[
        sometimes("amount", Number(i64::MIN, i64::MAX), "In the currency's smallest unit.").like("1999"),
        sometimes("currency", Text(1, 3), "").like("EUR"),
        sometimes("status", Named(&TRANSACTION_STATUS), ""),
        optional("description", Text(1, 500), "Null takes it away.").like("Invoice 42"),
    ],
);

pub(crate) static DEVICE_CHANGE: Shape = Shape::new(
    "DeviceChange",
    "What shall be changed about a device. What is missing stays.",
    &[sometimes("name", Text(1, 100), "").like("Laptop"), optional("platform", Text(1, 50), "Null takes it away.").like("linux")],
);

pub(crate) static CUSTOMER_SESSION_CHANGE: Shape = Shape::new(
    "CustomerSessionChange",
    "What shall be changed about a session. What is missing stays.",
    &[
        optional("ip_address", Text(1, 45), "Null takes it away.").like("192.0.2.7"),
        optional("user_agent", Text(1, 500), "Null takes it away.").like("curl/8"),
    ],
);

pub(crate) static ACTIVITY_CHANGE: Shape = Shape::new(
    "ActivityEntryChange",
    "What shall be changed about an entry. What is missing stays.",
    &[
        sometimes("kind", Text(1, 100), "").like("signed_in"),
        optional("message", Text(1, 2_000), "Null takes it away.").like("From a new place"),
    ],
);
