//! Legal holds: while one is in force, nothing deletes what it is on, no matter who orders it.
//!
//! What a hold stops stands in `deletions/orders/guards.rs`, which every deletion asks, and the drain again before each batch. Here holds are
//! placed, read and released. Placing touches the row of what is held, as its deletion does: either the deletion finds the hold, or the
//! hold finds its subject gone. What erases without having locked the organization's row begins with [`keep_holds_out`](crate::locks::keep_holds_out): from
//! the answer on, nothing that a hold is on goes by a transaction that had asked before.

use crate::audit::OPERATOR;
use jiff::Timestamp;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, Note, actor_columns};
use crate::revisions::derived;

use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::Action;
use crate::{Cx, Error, Result, deletions, ledger, locks, members};

/// Holds in force on one subject at the most: a refused deletion names each of them.
const MOST_ON_ONE: i64 = 20;
const NOT_FOUND: Error = Error::NotFound("Hold");

/// A hold.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
#[schemars(description = "A legal hold: while it is in force, nothing deletes what it is on.")]
pub struct Hold {
    /// Its id.
    pub id: Uuid,
    /// The organization.
    #[serde(rename = "organization_id")]
    #[schemars(with = "crate::wire::OrganizationId")]
    pub organization: Uuid,
    /// What is held.
    #[schemars(extend("enum" = ["organization", "customer", "user"]), example = &"customer")]
    pub subject: String,
    /// Its id.
    pub subject_id: Uuid,
    /// The customer's id; null for others, and once the customer is deleted.
    #[schemars(length(min = 0, max = 200), example = &"user123")]
    pub subject_label: Option<String>,
    /// `active` while it is in force, `expired` when it has ended by itself.
    pub state: State,
    /// Why, in the words of the person who placed it.
    #[schemars(length(min = 1, max = 500), example = &"Case 2026-17")]
    pub reason: String,
    /// When it ends by itself; null when only a release ends it.
    pub until: Option<Timestamp>,
    /// What placed it.
    #[schemars(with = "crate::wire::Actor")]
    pub placed_by: String,
    /// The user who placed it.
    pub placed_by_id: Option<Uuid>,
    /// When.
    pub placed_at: Timestamp,
    /// What released it; null until it is released.
    #[schemars(with = "Option<crate::wire::Actor>")]
    pub released_by: Option<String>,
    /// The user who released it.
    pub released_by_id: Option<Uuid>,
    /// When.
    pub released_at: Option<Timestamp>,
    /// Why, in their words.
    #[schemars(length(min = 1, max = 500), example = &"The case is closed")]
    pub release_reason: Option<String>,
}

columns! { Hold {
    id: "holds.id", organization: "holds.organization_id", subject: "holds.subject", subject_id: "holds.subject_id",
    subject_label: "customers.reference",
    state: "CASE WHEN released_at IS NOT NULL THEN 'released' WHEN until <= $3 THEN 'expired' ELSE 'active' END", reason, until, placed_by,
    placed_by_id, placed_at, released_by, released_by_id, released_at, release_reason,
} }

impl Hold {
    /// The tag of this state.
    pub fn etag(&self) -> String {
        derived(self.id, self)
    }
}

/// What shall be held.
#[derive(Debug, Clone)]
pub enum Subject {
    /// The organization with everything in it.
    Organization,
    /// A customer, by its reference.
    Customer(String),
    /// The user who is this member.
    Member(Uuid),
}

/// A new legal hold.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
pub struct NewHold {
    /// Why, in your words: those who try to delete are told. No personal data, please.
    #[schemars(length(min = 1, max = 500), example = &"Case 2026-17")]
    pub reason: String,
    /// When it ends by itself, in the future; without it, it lasts until it is released.
    #[schemars(example = &"2030-01-31T12:00:00Z")]
    pub until: Option<Timestamp>,
}

crate::wire::words! {
    /// Whether a legal hold is in force.
    pub enum State as "HoldState", like "active" {
        /// It is in force.
        Active = "active",
        /// It was released.
        Released = "released",
        /// It has ended by itself.
        Expired = "expired",
    }
}

impl Subject {
    fn noun(&self) -> &'static str {
        match self {
            Subject::Organization => "organization",
            Subject::Customer(_) => "customer",
            Subject::Member(_) => "user",
        }
    }

    fn label(&self) -> Option<String> {
        match self {
            Subject::Customer(reference) => Some(reference.clone()),
            Subject::Organization | Subject::Member(_) => None,
        }
    }

    /// Waits for transactions that are erasing, and touches what shall be held, in the order of its deletion: the organization first, then
    /// what is in it.
    async fn lock(&self, tx: &mut Tx, tenant: &Tenant) -> Result<Uuid> {
        tx.seize(tenant.organization()).await?;
        tenant.lock(tx).await?;
        match self {
            Subject::Organization => Ok(tenant.organization()),
            Subject::Customer(reference) => {
                locks::hold_customer(tx, tenant.organization(), reference).await?.ok_or(Error::NotFound("Customer"))
            }
            Subject::Member(member) => {
                members::lock(tx, tenant, *member).await?.ok_or(Error::NotFound("Member"))?;
                let user = sql!("SELECT user_id FROM members WHERE organization_id = $1 AND id = $2");
                Ok(tx.read_one(user, params![tenant.organization(), *member]).await?)
            }
        }
    }
}

/// Places a hold. What was ordered before goes no further either, as long as it lasts.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`] when there is no such subject (any more); [`Error::Invalid`]; [`Error::Conflict`] when there are as
/// many holds on it as may be.
pub async fn place(cx: &Cx, organization: &OrganizationRef, subject: Subject, new: NewHold) -> Result<Hold> {
    let note = Note {
        action: "hold.place",
        subject: subject.noun(),
        subject_label: subject.label(),
        reason: Some(new.reason.clone()),
        ..Note::default()
    };
    audit::attempt(cx, organization, note, async {
        let tenant = enter(cx, organization, Action::PlaceHold).await?;
        let mut check = Check::new();
        check.text("reason", &new.reason, 1..=500);
        if new.until.is_some_and(|until| until <= cx.now) {
            check.refuse("until", "in_the_past", "must be in the future; leave it out for a hold that lasts until it is released");
        }
        check.finish()?;
        tenant.write(cx, async move |cx, tx, tenant| place_in(cx, tx, tenant, &subject, &new).await).await
    })
    .await
}

async fn place_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, subject: &Subject, new: &NewHold) -> Result<Hold> {
    let (organization, subject_id) = (tenant.organization(), subject.lock(tx, tenant).await?);
    let in_force = sql!(
        "SELECT count(*) FROM holds
         WHERE organization_id = $1 AND subject_id = $2 AND released_at IS NULL AND (until IS NULL OR until > $3)"
    );
    if tx.read_one::<i64>(in_force, params![organization, subject_id, cx.now]).await? >= MOST_ON_ONE {
        return Err(Error::Conflict(format!("There are {MOST_ON_ONE} holds on it already, and each is enough: release one first.")));
    }
    let (id, (placed_by, placed_by_id, _)) = (cx.new_id()?, actor_columns(cx));
    let insert = sql!(
        "INSERT INTO holds (organization_id, id, subject, subject_id, reason, until, placed_by, placed_by_id, placed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    );
    let bound = params![organization, id, subject.noun(), subject_id, &new.reason, new.until, placed_by, placed_by_id, cx.now];
    tx.execute(insert, bound).await?;
    let held = ledger::Entry::Held { organization, hold: id, subject: subject.noun().into(), subject_id, until: new.until };
    ledger::note(cx, tx, held).await?;
    let note = Note {
        action: "hold.place",
        subject: subject.noun(),
        subject_id: Some(subject_id),
        subject_label: subject.label(),
        reason: Some(new.reason.clone()),
        detail: Some(format!("hold {id}")),
        ..Note::default()
    };
    audit::record(cx, tx, organization, &note).await?;
    load(tx, organization, id, cx.now).await
}

/// Releases a hold: what it stopped may be ordered again, and what waited for it goes on. One that has ended by itself can be released too,
/// for the record.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Conflict`] when it was released already; [`Error::Forbidden`] for
/// one that an operator placed, to a caller who is none.
pub async fn release(cx: &Cx, organization: &OrganizationRef, id: Uuid, reason: String) -> Result<Hold> {
    let (detail, said) = (Some(format!("hold {id}")), Some(reason.clone()));
    let note = Note { action: "hold.release", subject: "hold", subject_id: Some(id), reason: said, detail, ..Note::default() };
    audit::attempt(cx, organization, note.clone(), async {
        let tenant = enter(cx, organization, Action::ReleaseHold).await?;
        Check::new().text("reason", &reason, 1..=500).finish()?;
        tenant.write(cx, async move |cx, tx, tenant| release_in(cx, tx, tenant, id, &reason, &note).await).await
    })
    .await
}

async fn release_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, id: Uuid, reason: &str, note: &Note) -> Result<Hold> {
    tenant.lock(tx).await?;
    let organization = tenant.organization();
    let hold = load(tx, organization, id, cx.now).await?;
    if hold.placed_by == OPERATOR && !cx.principal()?.is_operator {
        let words = "Access denied. Only an operator of the server can release a hold that an operator placed.";
        return Err(Error::Forbidden(words.into()));
    }
    cx.expects_tag(&hold.etag())?;
    if hold.released_at.is_some() {
        return Err(Error::Conflict("This hold was released already: its record says when, why and who did it.".into()));
    }
    let (released_by, released_by_id, _) = actor_columns(cx);
    let update = sql!(
        "UPDATE holds SET released_by = $3, released_by_id = $4, released_at = $5, release_reason = $6 WHERE organization_id = $1 AND id = $2"
    );
    tx.execute(update, params![organization, id, released_by, released_by_id, cx.now, reason]).await?;
    ledger::note(cx, tx, ledger::Entry::Released { hold: id }).await?;
    let (subject, subject_id) = match hold.subject.as_str() {
        "customer" => ("customer", hold.subject_id),
        "user" => ("user", hold.subject_id),
        _ => ("organization", hold.subject_id),
    };
    let note = Note { subject, subject_id: Some(subject_id), subject_label: hold.subject_label, ..note.clone() };
    audit::record(cx, tx, organization, &note).await?;
    deletions::progress::wake_held(cx, tx, organization).await?;
    load(tx, organization, id, cx.now).await
}

/// Lists an organization's holds, newest first.
///
/// # Errors
/// Those of [`enter`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, state: Option<State>, request: PageRequest) -> Result<Page<Hold>> {
    let tenant = enter(cx, organization, Action::ReadHolds).await?;
    cx.read(async move |cx, tx| {
        let state = state.map(State::name);
        let count = sql!(
            "SELECT count(*) FROM holds
             WHERE organization_id = $1
               AND (CAST($2 AS text) IS NULL OR $2 = CASE WHEN released_at IS NOT NULL THEN 'released'
                                                          WHEN until <= $3 THEN 'expired' ELSE 'active' END)"
        );
        let total = tx.read_one(count, params![tenant.organization(), state, cx.now]).await?;
        let page = sql!(
            "SELECT {columns}
             FROM holds LEFT JOIN customers ON customers.organization_id = holds.organization_id AND customers.id = holds.subject_id
             WHERE holds.organization_id = $1
               AND (CAST($2 AS text) IS NULL OR $2 = CASE WHEN released_at IS NOT NULL THEN 'released'
                                                          WHEN until <= $3 THEN 'expired' ELSE 'active' END)
             ORDER BY holds.id DESC LIMIT $4 OFFSET $5",
            Hold
        );
        Ok(Page::new(
            tx.read_all(page, params![tenant.organization(), state, cx.now, request.limit(), request.offset()]).await?,
            total,
            request,
        ))
    })
    .await
}

/// Reads a hold.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`].
pub async fn get(cx: &Cx, organization: &OrganizationRef, id: Uuid) -> Result<Hold> {
    let tenant = enter(cx, organization, Action::ReadHolds).await?;
    cx.read(async move |cx, tx| load(tx, tenant.organization(), id, cx.now).await).await
}

async fn load(tx: &mut Tx, organization: Uuid, id: Uuid, now: Timestamp) -> Result<Hold> {
    let statement = sql!(
        "SELECT {columns}
         FROM holds LEFT JOIN customers ON customers.organization_id = holds.organization_id AND customers.id = holds.subject_id
         WHERE holds.organization_id = $1 AND holds.id = $2",
        Hold
    );
    tx.read_opt(statement, params![organization, id, now]).await?.ok_or(NOT_FOUND)
}
