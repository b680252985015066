//! What an organization asks of those who delete: a reason, its slug typed again, a fresh sign-in, another owner's approval, a grace period;
//! for each kind of subject on its own. Nothing of it is asked until an owner says so.
//!
//! Here it is kept and read. Who is asked, and whether they have done it, is decided where every deletion passes: `deletions/orders/requirements_check.rs`.

use jiff::Timestamp;
use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::deletions;
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::policy::Action;
pub use crate::requirement_terms::{ByKind, Kind, Requirements};
use crate::revisions::etag;
use crate::{Cx, Error, Result, ledger};

/// What an organization asks, as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The organization.
    pub organization: Uuid,
    /// What is asked.
    pub by_kind: ByKind,
    /// When it was last changed; none when nothing is asked.
    pub updated_at: Option<Timestamp>,
}

impl Asked {
    /// The tag of this state.
    pub fn etag(&self) -> String {
        etag(self.organization, self.revision())
    }

    /// They are replaced as a whole: the time of that tells one state from the next. Where nothing is asked it is always the same state.
    pub(crate) fn revision(&self) -> i64 {
        self.updated_at.map_or(0, |time| time.as_microsecond())
    }
}

/// Reads what an organization asks of those who delete.
///
/// # Errors
/// Those of [`enter`].
pub async fn get(cx: &Cx, organization: &OrganizationRef) -> Result<Asked> {
    let tenant = enter(cx, organization, Action::ReadOrganization).await?;
    let organization = tenant.organization();
    cx.read(async move |_, tx| load(tx, organization).await).await
}

/// Puts other requirements in the place of all there are. To weaken what asks for a fresh sign-in or an approval takes these, too.
///
/// # Errors
/// Those of [`enter`]; [`Error::Invalid`]; [`Error::Conflict`] when an approval is asked for where no other owner could give it, and when
/// the organization is archived; [`Error::Blocked`] with what is missing to weaken them; [`Error::Stale`].
pub async fn replace(cx: &Cx, organization: &OrganizationRef, new: ByKind) -> Result<Asked> {
    let note = Note { action: "requirements.update", subject: deletions::approval_rows::REQUIREMENTS, ..Note::default() };
    audit::attempt(cx, organization, note.clone(), async {
        let tenant = enter(cx, organization, Action::ChangeRequirements).await?;
        let mut check = Check::new();
        for kind in Kind::ALL {
            let Requirements { fresh_minutes, grace_days, .. } = new.of(kind);
            check.number(&format!("{}.fresh_minutes", kind.name()), *fresh_minutes, 1..=1_440);
            check.number(&format!("{}.grace_days", kind.name()), Some(*grace_days), 0..=90);
        }
        check.finish()?;
        tenant.write(cx, async move |cx, tx, tenant| replace_in(cx, tx, tenant, &new, &note).await).await
    })
    .await
}

async fn replace_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, new: &ByKind, note: &Note) -> Result<Asked> {
    // Of two who leave and ask for an approval at once, the second finds one owner less.
    tenant.lock(tx).await?;
    tenant.is_writable(tx).await?;
    let organization = tenant.organization();
    let old = load(tx, organization).await?;
    cx.expects(organization, old.revision())?;
    if old.by_kind == *new {
        return Ok(old);
    }
    let changed = |kind: &Kind| old.by_kind.of(*kind) != new.of(*kind);
    let is_new = |kind: &Kind| new.of(*kind).approval_required && !old.by_kind.of(*kind).approval_required;
    if Kind::ALL.iter().any(is_new) && owners(tx, organization).await? < 2 {
        let words =
            "An approval is given by another owner than the one who deletes, and there is only one: make another member an owner first.";
        return Err(Error::Conflict(words.into()));
    }
    let weakened = Kind::ALL.into_iter().map(|kind| (old.by_kind.of(kind), new.of(kind))).filter(|(old, new)| old.is_weakened_by(new));
    let asked = weakened.fold((None, false), |(minutes, approval), (old, _)| {
        (minutes.into_iter().chain(old.fresh_minutes).min(), approval || old.approval_required)
    });
    let (missing, approval) = deletions::of_weakening(cx, tx, organization, asked).await?;
    if !missing.is_empty() {
        return Err(Error::Blocked(missing));
    }
    if approval.is_some() {
        deletions::approval_rows::use_up(tx, organization, deletions::approval_rows::REQUIREMENTS, &[organization]).await?;
    }
    set(tx, organization, new, cx.now).await?;
    let count =
        sql!("UPDATE organizations SET requirements_revision = requirements_revision + 1 WHERE id = $1 RETURNING requirements_revision");
    let revision = tx.read_one(count, params![organization]).await?;
    ledger::note(cx, tx, ledger::Entry::Asked { organization, by_kind: *new, revision }).await?;
    let words = |kind: Kind| format!("{}: {} instead of {}", kind.name(), new.of(kind).words(), old.by_kind.of(kind).words());
    let words = Kind::ALL.into_iter().filter(changed).map(words).chain(approval.map(|approval| approval.note()));
    let detail = Some(words.collect::<Vec<_>>().join("; "));
    audit::record(cx, tx, organization, &Note { subject_id: Some(organization), detail, ..note.clone() }).await?;
    load(tx, organization).await
}

async fn set(tx: &mut Tx, organization: Uuid, new: &ByKind, now: Timestamp) -> Result<()> {
    tx.execute(sql!("DELETE FROM requirements WHERE organization_id = $1"), params![organization]).await?;
    for kind in Kind::ALL {
        let Requirements { reason_required, confirmation_required, fresh_minutes, approval_required, grace_days } = *new.of(kind);
        let insert = sql!(
            "INSERT INTO requirements (organization_id, kind, reason_required, confirmation_required, fresh_minutes, approval_required,
                                       grace_days, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        );
        let (minutes, days) = (fresh_minutes.map(i64::from), i64::from(grace_days));
        if *new.of(kind) != Requirements::default() {
            let values = params![organization, kind.name(), reason_required, confirmation_required, minutes, approval_required, days, now];
            tx.execute(insert, values).await?;
        }
    }
    Ok(())
}

/// Asks the same again in a database that knows of no later change. Returns whether there was anything to do.
///
/// # Errors
/// The database's.
pub(crate) async fn ask_again(cx: &Cx, tx: &mut Tx, organization: Uuid, by_kind: &ByKind, revision: i64) -> Result<bool> {
    let update = sql!("UPDATE organizations SET requirements_revision = $2 WHERE id = $1 AND requirements_revision <= $2");
    if tx.execute(update, params![organization, revision]).await? == 0 || load(tx, organization).await?.by_kind == *by_kind {
        return Ok(false);
    }
    set(tx, organization, by_kind, cx.now).await?;
    Ok(true)
}

async fn owners(tx: &mut Tx, organization: Uuid) -> Result<i64> {
    let count = sql!("SELECT count(*) FROM members WHERE organization_id = $1 AND role = 'owner' AND state = 'live'");
    Ok(tx.read_one(count, params![organization]).await?)
}

async fn load(tx: &mut Tx, organization: Uuid) -> Result<Asked> {
    let statement = sql!("SELECT {columns}, updated_at, kind FROM requirements WHERE organization_id = $1", Requirements);
    let mut asked = Asked { organization, by_kind: ByKind::default(), updated_at: None };
    for (requirements, updated_at, name) in tx.read_all::<(Requirements, _, String)>(statement, params![organization]).await? {
        asked.updated_at = updated_at;
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        *asked.by_kind.place(kind.ok_or_else(|| Error::Internal(format!("requirements have the unknown kind {name}")))?) = requirements;
    }
    Ok(asked)
}
