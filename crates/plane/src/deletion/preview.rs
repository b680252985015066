//! What a deletion would do, before anybody orders it: rows by table, their fate and why, the credentials that would die, which webhooks it
//! would tell, and everything that stands in the way. Nothing is changed.

use jiff::Timestamp;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::asked::{self, Asking};
use super::binding::Token;
use super::guards::{self, Blocker};
use super::rules::{Fate, Kept, Root};
use super::statements::Plan;
use super::subject::Subject;
use super::{Details, SMALL, binding, check_reason, effects, grace};
use crate::cx::Cx;
use crate::events::{self, Event};
use crate::retention::Retention;
use crate::sessions::after;
use crate::{Result, users};

/// Ids that a plan names of each table.
const SAMPLE: usize = 100;

/// What would happen.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The rules that would be followed.
    pub root: Root,
    /// The subject's id.
    pub subject: Uuid,
    /// Every table that the rules name, in the order of the deletion.
    pub tables: Vec<TablePreview>,
    /// The events that webhooks would be told.
    pub effects: Vec<Effect>,
    /// Everything that stands in the way now.
    pub blockers: Vec<Blocker>,
    /// About how long it would take until nothing is left.
    pub seconds: i64,
    /// Until when it could be taken back, if it were ordered now.
    pub reversible_until: Option<Timestamp>,
    /// What a deletion brings along that shall do this and nothing else.
    pub token: String,
}

/// What would happen to the rows of one table.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "TablePlan")]
pub struct TablePreview {
    /// The table.
    #[schemars(length(min = 1, max = 50), example = &"customers")]
    pub table: &'static str,
    /// What becomes of its rows.
    #[schemars(with = "crate::wire::RowFate")]
    pub fate: &'static str,
    /// How many.
    #[schemars(example = 3)]
    pub rows: i64,
    /// Ids of up to a hundred of those that would not stay as they are. A customer's is the `subjectId` of its deletion, not the id that was given
    /// to it.
    #[schemars(with = "Vec<crate::wire::RowId>", length(max = 100), example = ["550e8400-e29b-41d4-a716-446655440000"])]
    pub sample: Vec<Uuid>,
    /// Why.
    #[schemars(length(min = 1, max = 500), example = &"belongs to the organization")]
    pub why: &'static str,
    /// When the last of what is kept goes too, if it is deleted now; null when no time is set for that, and for what is not kept.
    pub kept_until: Option<Timestamp>,
}

/// An event that webhooks would be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "PlannedEffect")]
pub struct Effect {
    /// The event.
    #[schemars(with = "crate::wire::Event", example = &"organization.deleted")]
    pub event: Event,
    /// Webhooks that listen to it. The deletion is not sealed before each was told or given up.
    #[schemars(example = 1)]
    pub endpoints: i64,
}

impl Preview {
    /// Credentials that would die: keys, sessions and tokens that depend on the subject.
    pub fn credentials(&self) -> i64 {
        let kinds = ["api_keys", "sessions", "oauth_tokens"];
        self.tables.iter().filter(|table| table.fate == "erased" && kinds.contains(&table.table)).map(|table| table.rows).sum()
    }
}

/// Looks at what a deletion would do that is ordered with these details. Callers who may order it may look.
///
/// # Errors
/// Those of the deletion itself, but for [`crate::Error::Blocked`]: blockers are part of the answer.
pub async fn preview(cx: &Cx, subject: Subject, details: Details) -> Result<Preview> {
    check_reason(details.reason.as_deref())?;
    let (organization, root, id) = subject.find(cx, details.export).await?;
    let reason = details.reason;
    cx.read(async move |cx, tx| look(cx, tx, organization, (root, id), reason.as_deref()).await).await
}

async fn look(cx: &Cx, tx: &mut Tx, organization: Uuid, (root, subject): (Root, Uuid), reason: Option<&str>) -> Result<Preview> {
    let plan = Plan::of(root);
    binding::check(cx, tx, plan, organization, (root, subject)).await?;
    let counted = plan.survey(tx, organization, subject).await?;
    let tables = root.rules().iter().zip(counted).map(|(rule, rows)| TablePreview {
        table: rule.table,
        fate: match rule.fate {
            Fate::Erase => "erased",
            Fate::Redact(_) => "redacted",
            Fate::Keep => "kept",
        },
        rows,
        sample: Vec::new(),
        why: rule.why,
        kept_until: kept_until(cx, rule.kept),
    });
    let mut tables: Vec<TablePreview> = tables.collect();
    let (mut bound, mut total) = (Vec::new(), 0);
    let ids = plan.ids(tx, organization, subject, false, SMALL + 1).await?;
    for (target, ids) in plan.targets().iter().zip(ids) {
        let Some(table) = tables.get_mut(target.rule) else { continue };
        total += table.rows;
        table.sample = ids.iter().copied().take(SAMPLE).collect();
        if target.is_bound {
            bound.push((ids, table.rows));
        }
    }
    let mut blockers = guards::blockers(cx, tx, root, organization, subject).await?;
    if root == Root::User {
        blockers.extend(users::blockers(cx, tx, subject).await?);
    }
    let mut asked = asked::look(tx, (root, organization), Asking { cx, subject, reason }).await?;
    blockers.extend(asked.blockers.remove(&subject).unwrap_or_default());
    if matches!(root, Root::Customer | Root::RetiredCustomer) {
        blockers.extend(archived(tx, organization).await?);
    }
    Ok(Preview {
        root,
        subject,
        reversible_until: grace::until(cx, tx, organization, (root, subject), asked.grace_days).await?,
        tables,
        effects: heard(tx, root, organization, subject).await?,
        blockers,
        seconds: if total <= SMALL { 0 } else { cx.plane.estimates.seconds(total) },
        token: Token::of(root, organization, subject, &bound).write(),
    })
}

fn kept_until(cx: &Cx, kept: Kept) -> Option<Timestamp> {
    match kept {
        Kept::Unsaid | Kept::Alive => None,
        Kept::Archive => Some(after(cx.now, cx.plane.config.export_life)),
        // Their time begins with the day until which they could have been accepted.
        Kept::For(Retention::Invitations) => {
            cx.plane.config.retention.end(Retention::Invitations, after(cx.now, cx.plane.config.invitation_life))
        }
        Kept::For(retention) => cx.plane.config.retention.end(retention, cx.now),
    }
}

/// The events of a deletion that a webhook listens to.
async fn heard(tx: &mut Tx, root: Root, organization: Uuid, subject: Uuid) -> Result<Vec<Effect>> {
    // A webhook hears nothing of its own end.
    let statement = sql!("SELECT events FROM webhooks WHERE organization_id = $1 AND state = 'live' AND is_active AND id <> $2");
    let mut listeners: Vec<Vec<Event>> = Vec::new();
    for mut row in tx.query(statement, params![organization, subject]).await? {
        listeners.push(events::subscription_from_column(&row.next::<String>()?));
    }
    let told = effects::events(root)
        .into_iter()
        .map(|event| Effect { event, endpoints: listeners.iter().filter(|events| events.contains(&event)).count() as i64 });
    Ok(told.filter(|effect| effect.endpoints > 0).collect())
}

/// An archive is read-only: no customer of it is deleted.
async fn archived(tx: &mut Tx, organization: Uuid) -> Result<Option<Blocker>> {
    let statement = sql!("SELECT 1 FROM organizations WHERE id = $1 AND archived_at IS NOT NULL");
    Ok(tx.query_opt(statement, params![organization]).await?.map(|_| Blocker {
        code: "organization_archived",
        kind: "organization",
        id: organization,
        detail: "The organization is archived and read-only.".into(),
        remedy: "Unarchive the organization: an owner can, with POST …/organizations/{id}/unarchive.",
    }))
}
