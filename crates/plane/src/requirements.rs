//! What an organization asks of those who delete: a reason, its slug typed again, a fresh sign-in, another owner's approval, a grace period;
//! for each kind of subject on its own. Nothing of it is asked until an owner says so.
//!
//! Here it is kept and read. Who is asked, and whether they have done it, is decided where every deletion passes: `deletion/asked.rs`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sql::{Row, Tx, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::deletion::{self, Root};
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::policy::Action;
use crate::{Cx, Error, Result, approvals, ledger};

/// The kinds of subject that an organization can ask something for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The organization itself.
    Organization,
    /// Its members.
    Member,
    /// Its customers, however they are deleted.
    Customer,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 3] = [Kind::Organization, Kind::Member, Kind::Customer];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Organization => "organization",
            Kind::Member => "member",
            Kind::Customer => "customer",
        }
    }

    /// The kind of what goes by these rules; none where nothing is ever asked: what takes access away and nothing else, and what belongs to
    /// the person alone.
    pub(crate) fn of(root: Root) -> Option<Kind> {
        match root {
            Root::Organization => Some(Kind::Organization),
            Root::Member => Some(Kind::Member),
            Root::Customer | Root::RetiredCustomer | Root::CustomerPurge => Some(Kind::Customer),
            Root::ApiKey | Root::Invitation | Root::Webhook | Root::OauthApp | Root::OauthToken | Root::User => None,
        }
    }
}

/// What is asked for one kind of subject. The default: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "NewRequirements", description = "What is to be asked for one kind of subject. What is missing is not asked.")]
pub struct Requirements {
    /// That they say why: `?reason=`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<bool>")]
    pub reason_required: bool,
    /// That they type the organization's slug: `?confirm=`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<bool>")]
    pub confirmation_required: bool,
    /// That they have signed in within so many minutes. No key and no app's token has.
    #[schemars(range(min = 1, max = 1_440), example = 15)]
    pub fresh_minutes: Option<u32>,
    /// That another owner has approved it. Takes two owners.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<bool>")]
    pub approval_required: bool,
    /// Days until what is deleted is erased; none if 0.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<u32>", range(min = 0, max = 90), example = 30)]
    pub grace_days: u32,
}

impl Requirements {
    /// Whether what these ask can be done with less under others.
    fn is_weakened_by(&self, new: &Requirements) -> bool {
        let is_looser = self.fresh_minutes.is_some_and(|old| new.fresh_minutes.is_none_or(|new| new > old));
        (self.reason_required && !new.reason_required)
            || (self.confirmation_required && !new.confirmation_required)
            || (self.approval_required && !new.approval_required)
            || is_looser
            || new.grace_days < self.grace_days
    }

    /// In words of this program, for the audit trail.
    fn words(&self) -> String {
        let asked = [
            self.reason_required.then(|| "a reason".to_owned()),
            self.confirmation_required.then(|| "the slug".to_owned()),
            self.fresh_minutes.map(|minutes| format!("a sign-in within {minutes} minutes")),
            self.approval_required.then(|| "an approval".to_owned()),
            (self.grace_days > 0).then(|| format!("{} days of grace", self.grace_days)),
        ];
        let asked: Vec<String> = asked.into_iter().flatten().collect();
        if asked.is_empty() { "nothing".into() } else { asked.join(", ") }
    }
}

/// What an organization asks, of all kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(
    rename = "NewDeletionRequirements",
    description = "What is to be asked of those who delete, in the place of all that was asked. A kind that is missing: nothing."
)]
pub struct ByKind {
    /// Of those who delete the organization.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<Requirements>")]
    pub organization: Requirements,
    /// Of those who remove a member; never of a member who leaves.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<Requirements>")]
    pub member: Requirements,
    /// Of those who delete a customer, in any way.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<Requirements>")]
    pub customer: Requirements,
}

impl ByKind {
    /// That of one kind.
    pub fn of(&self, kind: Kind) -> &Requirements {
        match kind {
            Kind::Organization => &self.organization,
            Kind::Member => &self.member,
            Kind::Customer => &self.customer,
        }
    }

    fn place(&mut self, kind: Kind) -> &mut Requirements {
        match kind {
            Kind::Organization => &mut self.organization,
            Kind::Member => &mut self.member,
            Kind::Customer => &mut self.customer,
        }
    }
}

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
    let note = Note { action: "requirements.update", subject: approvals::REQUIREMENTS, ..Note::default() };
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
    let (missing, approval) = deletion::of_weakening(cx, tx, organization, asked).await?;
    if !missing.is_empty() {
        return Err(Error::Blocked(missing));
    }
    if approval.is_some() {
        approvals::use_up(tx, organization, approvals::REQUIREMENTS, &[organization]).await?;
    }
    set(tx, organization, new, cx.now).await?;
    let count =
        sql!("UPDATE organizations SET requirements_revision = requirements_revision + 1 WHERE id = $1 RETURNING requirements_revision");
    let revision = tx.query_one(count, params![organization]).await?.next()?;
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
    Ok(tx.query_one(count, params![organization]).await?.next()?)
}

async fn load(tx: &mut Tx, organization: Uuid) -> Result<Asked> {
    let statement = sql!(
        "SELECT reason_required, confirmation_required, fresh_minutes, approval_required, grace_days, updated_at, kind
         FROM requirements WHERE organization_id = $1"
    );
    let mut asked = Asked { organization, by_kind: ByKind::default(), updated_at: None };
    for mut row in tx.query(statement, params![organization]).await? {
        let requirements = read(&mut row)?;
        asked.updated_at = row.next()?;
        let name: String = row.next()?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        *asked.by_kind.place(kind.ok_or_else(|| Error::Internal(format!("requirements have the unknown kind {name}")))?) = requirements;
    }
    Ok(asked)
}

/// The next five columns of a row.
pub(crate) fn read(row: &mut Row) -> Result<Requirements> {
    let number = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Requirements {
        reason_required: row.next()?,
        confirmation_required: row.next()?,
        fresh_minutes: row.next::<Option<i64>>()?.map(number),
        approval_required: row.next()?,
        grace_days: number(row.next()?),
    })
}
