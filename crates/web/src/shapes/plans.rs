//! What goes out about a deletion that is only considered, or refused: its plan, what stands in its way, what has drifted.

use super::Is::{Counts, Flag, Id, Maybe, Named, Number, Objects, Text, Texts, Time};
use super::words::{BLOCKER_CODE, BLOCKER_KIND, DELETION_ROOT, EVENT, FATE, METHOD, PURGE_OUTCOME};
use super::{Shape, optional, required};

const COUNT: super::Is = Number(0, super::MOST_COUNTED);

static TABLE_PLAN: Shape = Shape::new(
    "TablePlan",
    "What would happen to the rows of one table.",
    &[
        required("table", Text(1, 50), "").like("customers"),
        required("fate", Named(&FATE), ""),
        required("rows", COUNT, "How many.").like("3"),
        required(
            "sample",
            Texts(100),
            "Ids of up to a hundred of those that would not stay as they are. A customer's is the `subjectId` of its deletion, not the id that \
             was given to it.",
        )
        .like("[\"550e8400-e29b-41d4-a716-446655440000\"]"),
        required("why", Text(1, 500), "").like("belongs to the organization"),
        optional("kept_until", Time, "When the last of what is kept goes too, if it is deleted now; null when no time is set for that, and for what is not kept."),
    ],
);

static PLANNED_EFFECT: Shape = Shape::new(
    "PlannedEffect",
    "An event that webhooks would be told.",
    &[
        required("event", Named(&EVENT), "").like("organization.deleted"),
        required("endpoints", COUNT, "Webhooks that listen to it. The deletion is not sealed before each was told or given up.").like("1"),
    ],
);

pub(crate) static DELETION_PLAN: Shape = Shape::new(
    "DeletionPlan",
    "What a deletion would do. Nothing has been changed.",
    &[
        required("root", Named(&DELETION_ROOT), "The rules that would be followed."),
        required("subject_id", Id, ""),
        required("credentials", COUNT, "Keys, sessions and tokens that would die.").like("2"),
        required("tables", Objects(&TABLE_PLAN), "In the order of the deletion."),
        required("effects", Objects(&PLANNED_EFFECT), "What would happen outside of the database."),
        required("blockers", Objects(&BLOCKER), "Everything that stands in the way now."),
        optional("reversible_until", Time, "Until when it could be taken back; null: it cannot be taken back."),
        required(
            "estimated_seconds",
            COUNT,
            "About how long it would take until nothing is left, webhooks aside; 0 for what is done before the answer. Access ends with the \
             answer in any case.",
        )
        .like("0"),
        required("plan", Text(40, 400), "What to give as `plan` with the DELETE, which then does this or nothing.")
            .like("AQBVDoQA4ptB1KcWRGZVRAAAVQ6EAOKbQdSnFkRmVUQAAAGBzZZ7c2r0Xg"),
    ],
);

pub(crate) static PURGE_PLAN: Shape = Shape::new(
    "PurgePlan",
    "What a purge would come to. Nothing has been changed.",
    &[
        required("count", COUNT, "Customers that would be deleted: what `?count=` binds the order to.").like("97"),
        required(
            "complete",
            Flag,
            "Whether all customers were looked at. Of the largest organizations only the first half million are, or as many as ten seconds \
             allow: then there may be more than were counted.",
        )
        .like("true"),
        required(
            "outcomes",
            Counts,
            "Customers by what would become of each: `deleted`, `blocked`, `refused`; of a list also `not_found` and `repeated`.",
        )
        .like("{\"deleted\":97,\"blocked\":2}"),
        required("sample", Texts(100), "Ids of the first hundred that would be deleted.").like("[\"user123\"]"),
        required(
            "blockers",
            Objects(&BLOCKER),
            "What the organization asks and is missing: the order is refused, but for `approval_required`, which leaves out those who lack one.",
        ),
        required("estimated_seconds", COUNT, "About how long it would take, webhooks aside.").like("1"),
    ],
);

pub(crate) static PURGE_ITEM: Shape = Shape::new(
    "PurgeItem",
    "What became of one customer of a purge.",
    &[
        required(
            "number",
            Number(1, super::MOST_COUNTED),
            "The place in the list that was sent, or in the order in which customers were found.",
        )
        .like("1"),
        required("outcome", Named(&PURGE_OUTCOME), "`stopped`: the purge was, before it was the customer’s turn.").like("deleted"),
        optional("customer_id", Text(1, 100), "The customer's id; null once the customer is gone.").like("user123"),
        optional("subject_id", Id, "The `subjectId` of the customer's deletion; null for an id that no customer had."),
        optional("deletion_id", Id, "The customer's own deletion, if there is one."),
        optional("detail", Text(1, 1_000), "Why it was refused.").like("Access denied. This customer is not under your management."),
        required("blockers", Objects(&BLOCKER), "What stood in the way."),
    ],
);

pub(crate) static DRIFT: Shape = Shape::new(
    "Drift",
    "A table in which something else was found than the plan says.",
    &[
        required("table", Text(1, 50), "").like("devices"),
        required("planned", COUNT, "Rows that were to go.").like("2"),
        required("now", COUNT, "Rows that would go now. If they are as many, they are others.").like("3"),
    ],
);

pub(crate) static BLOCKER: Shape = Shape::new(
    "Blocker",
    "One reason why a deletion cannot happen now.",
    &[
        required("code", Named(&BLOCKER_CODE), "Stable and machine-readable."),
        required("kind", Named(&BLOCKER_KIND), "The kind of what blocks."),
        required("id", Id, ""),
        required("detail", Text(1, 1_000), "For people.").like("The subscription is active."),
        required("remedy", Text(1, 500), "What to do about it.").like("Cancel the subscription."),
        optional("call", Maybe(&CALL), "The request that does it; null if that takes more than one."),
    ],
);

static CALL: Shape = Shape::new(
    "Call",
    "A request of the organizations API.",
    &[
        required("method", Named(&METHOD), ""),
        required("path", Text(1, 1_000), "")
            .like("/api/organizations/acme/customers/user123/subscriptions/550e8400-e29b-41d4-a716-446655440000"),
    ],
);
