//! What an organization asks of those who delete, and what its owners have approved of.

use super::Is::{Flag, Maybe, Number, Time};
use super::{Shape, optional, required};

const DAYS: &str = "Days until what is deleted is erased; none if 0.";

pub(crate) static REQUIREMENTS: Shape = Shape::new(
    "DeletionRequirements",
    "What the organization asks of those who delete, whichever door they come through.",
    &[
        required("organization", Maybe(&KIND), "Of those who delete the organization."),
        required("member", Maybe(&KIND), "Of those who remove a member; never of a member who leaves."),
        required("customer", Maybe(&KIND), "Of those who delete a customer, in any way."),
        optional("updated_at", Time, "When it was last changed; null if nothing is asked."),
    ],
);

static KIND: Shape = Shape::new(
    "Requirements",
    "What is asked for one kind of subject.",
    &[
        required("reason_required", Flag, "They say why: `?reason=`."),
        required("confirmation_required", Flag, "They type the organization's slug: `?confirm=`."),
        optional("fresh_minutes", Number(1, 1_440), "They have signed in within so many minutes. No key and no app's token has.")
            .like("15"),
        required("approval_required", Flag, "Another owner has approved it."),
        required("grace_days", Number(0, 90), DAYS).like("30"),
    ],
);
