//! What an organization asks of those who delete (`requirements.rs`), held against what they have said and done: for every deletion,
//! whichever surface it came through. What is missing blocks like everything else that stands in the way, and is told along with it.
//!
//! Nothing is asked of the system itself, nor of people who end their own membership, alone or with their account: leaving is a right.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sql::{Row, Statement, Tx, Value, params, sql};
use uuid::Uuid;

use crate::audit::{SERVICE_ACCOUNT, actor_columns};
use crate::cx::{Actor, Orderer};
use crate::deletion_rules::Root;
use crate::deletions::Blocker;
use crate::deletions::approval_rows::{self, Counting};
use crate::principal::{CredentialKind, Principal};
use crate::requirement_terms::{Kind, Requirements};
use crate::{Cx, Result, credentials};

/// One deletion that a caller orders or considers.
pub(crate) struct Asking<'a> {
    pub cx: &'a Cx,
    pub subject: Uuid,
    pub reason: Option<&'a str>,
}

/// What is found about several at once, by their subjects.
#[derive(Default)]
pub(crate) struct Found {
    /// What is missing.
    pub blockers: HashMap<Uuid, Vec<Blocker>>,
    /// The approvals that they are good for.
    pub approvals: HashMap<Uuid, Counting>,
    /// Days for which they can be taken back.
    pub grace_days: u32,
}

/// What is asked of the database along with the rest; none where nothing is ever asked of anybody.
pub(crate) fn question(root: Root, organization: Uuid) -> Option<(Statement, Vec<Value>)> {
    let statement = sql!(
        "SELECT {columns}, organizations.slug FROM requirements JOIN organizations ON organizations.id = requirements.organization_id
         WHERE requirements.organization_id = $1 AND requirements.kind = $2",
        Requirements
    );
    Some((statement, params![organization, kind_of(root)?.name()].to_vec()))
}

/// What is missing of what is asked, by the answer to the [`question`]. Those who delete, whose subjects are locked, `lock` what it depends
/// on too; others only look.
pub(crate) async fn weigh(
    tx: &mut Tx,
    (root, organization): (Root, Uuid),
    orders: &[Asking<'_>],
    answer: Vec<Row>,
    lock: bool,
) -> Result<Found> {
    let mut found = Found::default();
    let (Some(kind), Some(row)) = (kind_of(root), answer.into_iter().next()) else { return Ok(found) };
    let (wanted, slug): (Requirements, String) = row.read()?;
    found.grace_days = wanted.grace_days;
    let asked: Vec<(&Asking<'_>, Who<'_>)> = orders.iter().filter_map(|order| Some((order, Who::of(&order.cx.actor)?))).collect();
    let Some(now) = asked.first().map(|(order, _)| order.cx.now) else { return Ok(found) };
    let own = match root {
        Root::Member => memberships(tx, organization, &asked).await?,
        _ => HashSet::new(),
    };
    let fresh = match wanted.fresh_minutes {
        Some(minutes) => credentials::begun_within(tx, &sessions_of(&asked), now, minutes).await?,
        None => HashSet::new(),
    };
    let subjects: Vec<Uuid> = asked.iter().map(|(order, _)| order.subject).collect();
    let mut given = Vec::new();
    // Of many customers, each is approved on its own. And where there is no owner, no one could approve of the organization's end.
    let needs_approval = wanted.approval_required
        && root != Root::CustomerPurge
        && (root != Root::Organization || approval_rows::has_owner(tx, organization).await?);
    if needs_approval {
        if lock {
            approval_rows::lock(tx, organization, kind.name(), &subjects, now).await?;
        }
        given = approval_rows::counting(tx, organization, kind.name(), &subjects, now).await?;
    }
    for (order, who) in asked.into_iter().filter(|(order, who)| !own.contains(&(who.user, order.subject))) {
        let mut missing = Vec::new();
        let mut miss = |code, detail: String, remedy| missing.push(Blocker { code, kind: root.noun(), id: order.subject, detail, remedy });
        // A job deletes for a member who was asked for the rest when they ordered it.
        let is_there = who.principal.is_some();
        if is_there && wanted.reason_required && order.reason.is_none_or(|reason| reason.trim().is_empty()) {
            miss("reason_required", format!("The organization asks for a reason whenever a {} is deleted.", kind.name()), SAY_WHY);
        }
        if is_there && wanted.confirmation_required && order.cx.confirmation.as_deref() != Some(&slug) {
            let detail = match &order.cx.confirmation {
                Some(_) => format!("What was typed is not the organization's slug, which is {slug}."),
                None => format!("The organization asks for its slug, {slug}, to be typed whenever a {} is deleted.", kind.name()),
            };
            miss("confirmation_required", detail, CONFIRM);
        }
        if let (Some(minutes), Some(principal)) = (wanted.fresh_minutes, who.principal)
            && !fresh.contains(&principal.credential)
        {
            miss("reauthentication_required", stale(principal, minutes), SIGN_IN);
        }
        match given.iter().find(|given| given.subject_id == order.subject && given.by != who.user && !who.is_service) {
            Some(approval) => drop(found.approvals.insert(order.subject, *approval)),
            None if needs_approval => miss("approval_required", UNAPPROVED.into(), APPROVE),
            None => {}
        }
        if !missing.is_empty() {
            found.blockers.insert(order.subject, missing);
        }
    }
    Ok(found)
}

/// The same about one deletion that a caller considers.
pub(crate) async fn look(tx: &mut Tx, (root, organization): (Root, Uuid), asking: Asking<'_>) -> Result<Found> {
    let Some((statement, bound)) = question(root, organization) else { return Ok(Found::default()) };
    let answer = tx.query(statement, &bound).await?;
    weigh(tx, (root, organization), &[asking], answer, false).await
}

/// What a caller who considers a purge lacks of what is asked when they order it.
pub(crate) async fn of_purge(cx: &Cx, tx: &mut Tx, organization: Uuid, reason: Option<&str>) -> Result<Vec<Blocker>> {
    let asking = Asking { cx, subject: organization, reason };
    let mut found = look(tx, (Root::CustomerPurge, organization), asking).await?;
    Ok(found.blockers.remove(&organization).unwrap_or_default())
}

/// What is missing for each of these customers when a purge comes to them: an approval. The rest was asked of the member who ordered it.
pub(crate) async fn of_purged(cx: &Cx, tx: &mut Tx, organization: Uuid, customers: &[Uuid]) -> Result<HashMap<Uuid, Vec<Blocker>>> {
    let Some((statement, bound)) = question(Root::Customer, organization) else { return Ok(HashMap::new()) };
    let answer = tx.query(statement, &bound).await?;
    let (kind, user, credential) = actor_columns(cx);
    let job = cx.clone().with_actor(Actor::Orderer(Arc::new(Orderer { kind: kind.to_owned(), user, credential })));
    let asking: Vec<Asking<'_>> = customers.iter().map(|customer| Asking { cx: &job, subject: *customer, reason: None }).collect();
    Ok(weigh(tx, (Root::Customer, organization), &asking, answer, false).await?.blockers)
}

/// Tells of so many customers of a purge that they have no approval, and of one of them which.
pub(crate) fn unapproved(customer: Uuid, number: i64) -> Blocker {
    Blocker {
        code: "approval_required",
        kind: Root::Customer.noun(),
        id: customer,
        detail: format!(
            "The organization asks for another owner's approval of each customer. Customers who have none and would stay: {number}."
        ),
        remedy: APPROVE,
    }
}

/// What a caller who weakens requirements lacks of what these ask: the same sign-in and the same approval that a deletion would need.
///
/// # Errors
/// The database's, and [`crate::Error::Unauthenticated`].
pub(crate) async fn of_weakening(
    cx: &Cx,
    tx: &mut Tx,
    organization: Uuid,
    (minutes, approval): (Option<u32>, bool),
) -> Result<(Vec<Blocker>, Option<Counting>)> {
    let principal = cx.principal()?;
    let blocker = |code, detail: String, remedy| Blocker { code, kind: approval_rows::REQUIREMENTS, id: organization, detail, remedy };
    let mut missing = Vec::new();
    if let Some(minutes) = minutes
        && credentials::begun_within(tx, &[principal.credential], cx.now, minutes).await?.is_empty()
    {
        missing.push(blocker("reauthentication_required", stale(principal, minutes), SIGN_IN));
    }
    if !approval {
        return Ok((missing, None));
    }
    approval_rows::lock(tx, organization, approval_rows::REQUIREMENTS, &[organization], cx.now).await?;
    let given = approval_rows::counting(tx, organization, approval_rows::REQUIREMENTS, &[organization], cx.now).await?;
    let given = given.into_iter().find(|given| given.by != principal.user);
    if given.is_none() {
        missing.push(blocker("approval_required", UNAPPROVED.into(), APPROVE_WEAKENING));
    }
    Ok((missing, given))
}

/// The kind of what goes by the requirements for a root; none where nothing is ever asked: what takes access away and nothing else, and what
/// belongs to the person alone.
fn kind_of(root: Root) -> Option<Kind> {
    match root {
        Root::Organization => Some(Kind::Organization),
        Root::Member => Some(Kind::Member),
        Root::Customer | Root::RetiredCustomer | Root::CustomerPurge => Some(Kind::Customer),
        Root::ApiKey | Root::Invitation | Root::Webhook | Root::OauthApp | Root::OauthToken | Root::User => None,
    }
}

const SAY_WHY: &str = "Say why, with the parameter `reason`.";
const CONFIRM: &str = "Give the organization's slug, exactly, with the parameter `confirm`.";
const SIGN_IN: &str = "Sign in again, POST /api/auth/sign-in, and do it with that session: a key or an app's token has none.";
const APPROVE: &str = "Another owner, signed in, approves it: POST …/deletion-approvals. It can then be done once, within 24 hours.";
const APPROVE_WEAKENING: &str =
    "Another owner, signed in, approves it: POST …/deletion-requirements/approvals. It can then be done once, within 24 hours.";
const UNAPPROVED: &str = "The organization asks for the approval of an owner other than the one who does it.";

fn stale(principal: &Principal, minutes: u32) -> String {
    match principal.kind {
        CredentialKind::Session => format!("The organization asks for a sign-in within the last {minutes} minutes."),
        CredentialKind::ApiKey | CredentialKind::OauthToken => {
            format!("The organization asks for a sign-in within the last {minutes} minutes, which no key or app's token is.")
        }
    }
}

/// Who deletes: a user, who is there if they do it themselves and not a job for them.
#[derive(Clone, Copy)]
struct Who<'a> {
    user: Uuid,
    /// A key of the organization. Who has its secret is not known: it may be the owner who approves.
    is_service: bool,
    principal: Option<&'a Principal>,
}

impl Who<'_> {
    fn of(actor: &Actor) -> Option<Who<'_>> {
        match actor {
            Actor::User(principal) => {
                Some(Who { user: principal.user, is_service: principal.service_role.is_some(), principal: Some(principal) })
            }
            Actor::Orderer(orderer) => Some(Who { user: orderer.user?, is_service: orderer.kind == SERVICE_ACCOUNT, principal: None }),
            Actor::Anonymous | Actor::System => None,
        }
    }
}

fn sessions_of(asked: &[(&Asking<'_>, Who<'_>)]) -> Vec<Uuid> {
    let sessions = asked.iter().filter_map(|(_, who)| who.principal).filter(|principal| principal.kind == CredentialKind::Session);
    sessions.map(|principal| principal.credential).collect()
}

/// The users who delete, each with their membership.
async fn memberships(tx: &mut Tx, organization: Uuid, asked: &[(&Asking<'_>, Who<'_>)]) -> Result<HashSet<(Uuid, Uuid)>> {
    let users: Vec<Uuid> = asked.iter().map(|(_, who)| who.user).collect();
    let own = sql!("SELECT user_id, id FROM members WHERE organization_id = $1 AND user_id = ANY($2) AND state = 'live'");
    Ok(tx.read_all(own, params![organization, users]).await?.into_iter().collect())
}
