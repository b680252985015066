//! What an organization asks of those who delete, and what its owners have approved of.

use super::Is::{Flag, Id, Maybe, Number, OrganizationId, Text, Time, Word};
use super::{Shape, optional, required};

const DAYS: &str = "Days until what is deleted is erased; none if 0.";

pub(crate) static CHANGE: Shape = Shape::new(
    "NewDeletionRequirements",
    "What is to be asked of those who delete, in the place of all that was asked. A kind that is missing: nothing.",
    &[
        optional("organization", Maybe(&KIND_CHANGE), "Of those who delete the organization."),
        optional("member", Maybe(&KIND_CHANGE), "Of those who remove a member; never of whoever leaves."),
        optional("customer", Maybe(&KIND_CHANGE), "Of those who delete a customer, in any way."),
    ],
);

static KIND_CHANGE: Shape = Shape::new(
    "NewRequirements",
    "What is to be asked for one kind of subject. What is missing is not asked.",
    &[
        optional("reason_required", Flag, "That they say why: `?reason=`."),
        optional("confirmation_required", Flag, "That they type the organization's slug: `?confirm=`."),
        optional("fresh_minutes", Number(1, 1_440), "That they have signed in within so many minutes. No key and no app's token has.")
            .like("15"),
        optional("approval_required", Flag, "That another owner has approved it. Takes two owners."),
        optional("grace_days", Number(0, 90), DAYS).like("30"),
    ],
);

pub(crate) static REQUIREMENTS: Shape = Shape::new(
    "DeletionRequirements",
    "What the organization asks of those who delete, whichever door they come through.",
    &[
        required("organization", Maybe(&KIND), "Of those who delete the organization."),
        required("member", Maybe(&KIND), "Of those who remove a member; never of whoever leaves."),
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

pub(crate) static NEW_APPROVAL: Shape = Shape::new(
    "NewApproval",
    "An approval.",
    &[optional("reason", Text(1, 500), "Why, in your words: kept in the audit trail. No personal data, please.")
        .like("Asked for in writing")],
);

pub(crate) static APPROVAL: Shape = Shape::new(
    "Approval",
    "What an owner agrees to that somebody else does, once.",
    &[
        required("id", Id, ""),
        required("organization_id", OrganizationId, ""),
        required("subject", Word(&["organization", "member", "customer", "requirements"]), "What may be deleted, or weakened.")
            .like("customer"),
        required("subject_id", Id, "Of a membership or a customer; otherwise the organization's."),
        optional("subject_label", Text(0, 200), "The customer's id; null for others.").like("user123"),
        required("approved_by", Id, "The user who approved. Whoever deletes is somebody else."),
        optional("reason", Text(1, 500), "Why, in their words.").like("Asked for in writing"),
        required("created_at", Time, ""),
        required("expires_at", Time, "Until when it can be used: 24 hours."),
    ],
);
