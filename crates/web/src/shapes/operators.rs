//! The people who run the server, and the limits that they give organizations.

use super::Is::{Email, Id, Number, OrganizationId, Text, Time};
use super::{Shape, optional, required};

const REASON: &str =
    "Why, in your words: kept in the server's audit trail, and in the organization's if it is about one. No personal data, please.";

pub(crate) static OPERATOR: Shape = Shape::new(
    "Operator",
    "One of the people who run the server.",
    &[
        required("id", Id, ""),
        required("email", Text(1, 254), "").like("ada@example.com"),
        required("name", Text(1, 100), "").like("Ada Lovelace"),
        required("created_at", Time, "When the account was made."),
    ],
);

pub(crate) static NEW_OPERATOR: Shape = Shape::new(
    "NewOperator",
    "Who shall run the server, too.",
    &[required("email", Email, "Of an account that is there."), required("reason", Text(1, 500), REASON).like("Joins the team on call")],
);

const PER_DAY: &str = "Requests in a day, from midnight UTC, of each API key, app and bound session of the organization. 0 is no limit; null is as for \
                       all (`--rate-limit-per-day`, 10,000 unless it is set otherwise).";
const PER_MINUTE: &str = "Requests in a minute of all callers of the organization together, and the most that one of its keys can have. 0 is no limit; null \
                          is as for all (`--organization-requests-per-minute`, 6,000 unless it is set otherwise).";

pub(crate) static LIMITS: Shape = Shape::new(
    "OrganizationLimits",
    "How many requests an organization may make, where that is otherwise than for all.",
    &[
        required("organization_id", OrganizationId, ""),
        optional("requests_per_day", Number(0, u32::MAX as i64), PER_DAY).like("50000"),
        optional("requests_per_minute", Number(0, u32::MAX as i64), PER_MINUTE).like("600"),
    ],
);

pub(crate) static LIMITS_CHANGE: Shape = Shape::new(
    "OrganizationLimitsChange",
    "What shall be changed. What is missing stays.",
    &[
        optional("requests_per_day", Number(0, u32::MAX as i64), PER_DAY).like("50000"),
        optional("requests_per_minute", Number(0, u32::MAX as i64), PER_MINUTE).like("600"),
        required("reason", Text(1, 500), REASON).like("Moves its data to us this week"),
    ],
);
