//! What an organization asks of those who delete: a reason, its slug typed again, a fresh sign-in, another owner's approval, a grace period;
//! for each kind of subject on its own. Nothing of it is asked until an owner says so.
//!
//! Here it is kept and read. Who is asked, and whether they have done it, is decided where every deletion passes: `deletion/asked.rs`.

use sql::{Row, Tx, params, sql};
use uuid::Uuid;

use crate::Result;
use crate::deletion::Root;

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

    /// The kind of what goes by these rules; none where nothing is ever asked: what takes access away and nothing else, and what is nobody's
    /// but the person's own.
    pub(crate) fn of(root: Root) -> Option<Kind> {
        match root {
            Root::Organization => Some(Kind::Organization),
            Root::Member => Some(Kind::Member),
            Root::Customer | Root::RetiredCustomer => Some(Kind::Customer),
            Root::ApiKey | Root::Invitation | Root::Webhook | Root::OauthApp | Root::OauthToken | Root::User => None,
        }
    }
}

/// What is asked for one kind of subject. The default: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Requirements {
    /// Whoever deletes says why.
    pub reason_required: bool,
    /// Whoever deletes types the organization's slug.
    pub confirmation_required: bool,
    /// Whoever deletes has signed in within so many minutes: 1 to 1,440.
    pub fresh_minutes: Option<u32>,
    /// An owner other than whoever deletes has approved it.
    pub approval_required: bool,
    /// Days until what is deleted is erased: 0 to 90.
    pub grace_days: u32,
}

/// What an organization asks of whoever deletes something of this kind.
pub(crate) async fn of(tx: &mut Tx, organization: Uuid, root: Root) -> Result<Requirements> {
    let Some(kind) = Kind::of(root) else { return Ok(Requirements::default()) };
    let statement = sql!(
        "SELECT reason_required, confirmation_required, fresh_minutes, approval_required, grace_days
         FROM requirements WHERE organization_id = $1 AND kind = $2"
    );
    match tx.query_opt(statement, params![organization, kind.name()]).await? {
        Some(mut row) => read(&mut row),
        None => Ok(Requirements::default()),
    }
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
