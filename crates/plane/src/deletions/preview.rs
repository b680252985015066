//! What a deletion would do, before anybody orders it: rows by table, their fate and why, the credentials that would die, which webhooks it
//! would tell, and everything that stands in the way. Nothing is changed.

use deletion::{Fate, Kept, SMALL, after};
use jiff::Timestamp;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::guards::{self, Blocker};
use super::requirements_check::{self, Asking};
use super::{effects, grace, subscriptions};
use crate::Result;
use crate::cx::Cx;
use crate::deletion_rules::{ARCHIVE, RULES, Root};
use crate::events::{self, Event};
use crate::retention_periods::Retention;
use crate::subscription_steps::Cancellation;

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
    /// The subscriptions that would end at the payment provider, the first hundred of them.
    pub subscriptions: Vec<Cancellation>,
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
    /// Webhooks that listen to it. The deletion is not completed before each was told or given up.
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

/// What a deletion would do, by a caller who may order it. A token refuses when something else is found than it says.
pub(crate) async fn look(cx: &Cx, tx: &mut Tx, organization: Uuid, (root, subject): (Root, Uuid), reason: Option<&str>) -> Result<Preview> {
    if let Some(planned) = &cx.planned {
        planned.check(tx, root.definition(), organization, subject).await?;
    }
    let found = deletion::preview(&RULES, tx, root.definition(), organization, subject).await?;
    let tables =
        found.tables.into_iter().filter_map(|table| Some((root.rules().get(table.rule)?, table))).map(|(rule, table)| TablePreview {
            table: rule.table,
            fate: match rule.fate {
                Fate::Erase => "erased",
                Fate::Redact(_) => "redacted",
                Fate::Keep => "kept",
            },
            rows: table.rows,
            sample: table.sample.iter().filter_map(|key| key.last()?.uuid()).collect(),
            why: rule.why,
            kept_until: kept_until(cx, rule.kept),
        });
    let tables = tables.collect();
    let mut blockers = guards::blockers(cx, tx, root, organization, subject).await?;
    let mut asked = requirements_check::look(tx, (root, organization), Asking { cx, subject, reason }).await?;
    blockers.extend(asked.blockers.remove(&subject).unwrap_or_default());
    if matches!(root, Root::Customer | Root::RetiredCustomer) {
        blockers.extend(archived(tx, organization).await?);
    }
    let reversible_until = grace::until(cx, tx, organization, (root, subject), asked.grace_days).await?;
    Ok(Preview {
        root,
        subject,
        reversible_until,
        tables,
        effects: heard(tx, root, organization, subject).await?,
        subscriptions: subscriptions::planned(cx, tx, root, (organization, subject), reversible_until.is_some()).await?,
        blockers,
        seconds: if found.rows <= SMALL { 0 } else { cx.plane.deletions.estimates.seconds(found.rows) },
        token: found.token,
    })
}

fn kept_until(cx: &Cx, kept: Kept) -> Option<Timestamp> {
    let config = &cx.plane.config;
    match kept {
        Kept::Unsaid | Kept::Alive => None,
        Kept::For(ARCHIVE) => Some(after(cx.now, config.export_life)),
        Kept::For(name) => match Retention::parse(name)? {
            // Their time begins with the day until which they could have been accepted.
            Retention::Invitations => config.retention.end(Retention::Invitations, after(cx.now, config.invitation_life)),
            retention => config.retention.end(retention, cx.now),
        },
    }
}

/// The events of a deletion that a webhook listens to.
async fn heard(tx: &mut Tx, root: Root, organization: Uuid, subject: Uuid) -> Result<Vec<Effect>> {
    // A webhook hears nothing of its own end.
    let statement = sql!("SELECT events FROM webhooks WHERE organization_id = $1 AND state = 'live' AND is_active AND id <> $2");
    let listeners = tx.read_all(statement, params![organization, subject]).await?.into_iter().map(events::subscription_from_column);
    let listeners: Vec<Vec<Event>> = listeners.collect();
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
