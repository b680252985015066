//! What operators find.

use super::Is::{Counts, Flag, Id, Named, Objects, OrganizationId, Text, Time, Word};
use super::{Shape, required, sometimes, words};
use crate::catalogue::Parameter;

/// What is looked for.
pub(crate) const SEARCH: [Parameter; 1] = [Parameter {
    name: "q",
    is: Text(3, 254),
    about: "The id of an organization, a user or a key; a slug; a person's address; the last four characters of a key, or its hint; the id of a \
            request. Compared as a whole. Never a whole key: it is a secret.",
}];

pub(crate) static FOUND: Shape = Shape::new(
    "Found",
    "Something that an operator found. What it does not have is missing.",
    &[
        required("kind", Word(&["organization", "user", "api_key", "audit_entry"]), ""),
        required("id", Id, ""),
        required(
            "state",
            Text(1, 50),
            "`live`, `archived` or `closed`; of a key `active`, `off` or `expired`; of an audit entry its outcome.",
        )
        .like("live"),
        sometimes("slug", Text(3, 50), "").like("acme"),
        sometimes("name", Text(1, 100), "").like("Acme"),
        sometimes("email", Text(1, 254), ""),
        sometimes("is_operator", Flag, ""),
        sometimes("hint", Text(1, 50), "Prefix and last characters of the key.").like("csb_…1f3a"),
        sometimes("organization_id", OrganizationId, "The organization of a key, or the one whose trail holds the entry."),
        sometimes("user_id", Id, "The person whose key it is."),
        sometimes("action", Named(&words::AUDIT_ACTION), ""),
        sometimes("memberships", Objects(&FOUND_MEMBERSHIP), "Up to 20."),
        sometimes(
            "sizes",
            Counts,
            "Of an organization `members`, `customers`, `keys` and `openDeletions`, of a person `memberships` and `keys`; \
                                    1000 is as far as is counted.",
        ),
        required("created_at", Time, ""),
    ],
);

static FOUND_MEMBERSHIP: Shape = Shape::new(
    "FoundMembership",
    "Where a person is a member.",
    &[
        required("organization_id", OrganizationId, ""),
        required("slug", Text(3, 50), "").like("acme"),
        required("role", Named(&words::ROLE), ""),
    ],
);
