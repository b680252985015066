//! On what authority a transaction writes. What is written for an actor is written by [`Tenant::write`] (in an organization) or
//! [`Cx::write_own`] (about themselves): before anything is done, both read the actor's credential, account, membership and role again in the
//! transaction that writes. What memory said about them when the request came in may be older than the locks of the transaction.
//!
//! On PostgreSQL every such transaction shares the keys of all its actor depends on, and [`revoke`] takes the key of what it ends alone. So a
//! revocation waits for the writes that were confirmed before it, and every later one finds it done. SQLite has one writer at a time.

use std::sync::Arc;

use sql::{Hold, Row, Statement, Tx, Value};
use uuid::Uuid;

use crate::access::{LIVE, MEMBERSHIP, Tenant};
use crate::credentials;
use crate::cx::{Actor, Cx};
use crate::principal::Membership;
use crate::principal::Principal;
use crate::{Error, Result};

/// Tells these keys from those of other locks on the same ids.
const SALT: u128 = 0x7265_766f_6b65_7265_766f_6b65_7265_766f;

fn key(subject: Uuid) -> Uuid {
    Uuid::from_u128(subject.as_u128() ^ SALT)
}

/// The one way in which a credential, a user, a membership, an organization or an app ends or changes: from the commit on, what memory knows of
/// it is no longer good; and no write that was allowed before it is done after it.
///
/// A transaction that can say beforehand what it ends says so to [`Tenant::write_ending`] or [`Cx::write_own_ending`], which take the key before
/// any row is locked: then nothing waits in a circle.
pub(crate) async fn revoke(cx: &Cx, tx: &mut Tx, subject: Uuid) -> Result<()> {
    let locks = tx.locks([(key(subject), Hold::Alone)]);
    ask(tx, &locks).await?;
    let plane = cx.plane.clone();
    tx.on_commit(move || plane.credential_cache.invalidate(subject));
    Ok(())
}

/// Keeps subjects from being ended until this transaction ends. To be called before it locks any row.
pub(crate) async fn share(tx: &mut Tx, subjects: impl Iterator<Item = Uuid>) -> Result<()> {
    let locks = tx.locks(subjects.map(|subject| (key(subject), Hold::Shared)));
    ask(tx, &locks).await.map(drop)
}

/// One actor's claim to act in an organization.
pub(crate) struct Claim<'a> {
    pub(crate) cx: &'a Cx,
    pub(crate) tenant: Tenant,
}

/// The same actor with what their credential allows now, and the organization with what they may do in it now.
pub(crate) type Confirmed = (Cx, Tenant);

/// A credential, and the organization in which it acts.
type Who = (Uuid, Uuid);
/// What the database says of it now: the credential's rows, the membership, and whether the organization is there.
type Answers = (Vec<Option<Row>>, Option<Membership>, bool);

/// Confirms claims to act in organizations, each with an outcome of its own. Keys of subjects that are to be ended are taken along. To be
/// called first of all in a transaction.
///
/// # Errors
/// The database's: then none of them is confirmed.
pub(crate) async fn confirm(tx: &mut Tx, claims: &[Claim<'_>], ends: &[Uuid]) -> Result<Vec<Result<Confirmed>>> {
    let mut keys: Vec<(Uuid, Hold)> = ends.iter().map(|subject| (key(*subject), Hold::Alone)).collect();
    let mut questions: Vec<(Statement, Vec<Value>)> = Vec::new();
    // Of many claims of one actor the first is asked about.
    let mut asked: Vec<((Uuid, Uuid), usize)> = Vec::new();
    for Claim { cx, tenant } in claims {
        let principal = cx.principal()?;
        let who = (principal.credential, tenant.organization());
        if asked.iter().any(|(asked, _)| *asked == who) {
            continue;
        }
        let first = questions.len();
        questions.extend(credentials::questions(principal));
        asked.push((who, questions.len() - first));
        let member = tenant.membership().map(|own| own.id);
        let subjects = principal.subjects().chain([Some(tenant.organization()), member].into_iter().flatten());
        keys.extend(subjects.map(|subject| (key(subject), Hold::Shared)));
        questions.push((MEMBERSHIP, vec![tenant.organization().into(), principal.user.into()]));
        questions.push((LIVE, vec![tenant.organization().into()]));
    }
    let locks = tx.locks(keys);
    let first = locks.len();
    let mut answers = ask(tx, &[locks, questions].concat()).await?.into_iter().skip(first);
    let mut known: Vec<(Who, Answers)> = Vec::new();
    for (who, questions) in asked {
        let credential = answers.by_ref().take(questions).map(|mut rows| rows.pop()).collect();
        let membership = answers.next().unwrap_or_default().pop().map(Row::read).transpose()?;
        let is_live = answers.next().is_some_and(|rows| !rows.is_empty());
        known.push((who, (credential, membership, is_live)));
    }
    let outcome = |Claim { cx, tenant }: &Claim<'_>| {
        let principal = cx.principal()?;
        let who = (principal.credential, tenant.organization());
        let Some((_, (credential, membership, is_live))) = known.iter().find(|(known, _)| *known == who) else {
            return Err(Error::Unauthenticated);
        };
        let now = credentials::read_again(cx, principal, credential.clone())?;
        if !is_live {
            return Err(Error::NotFound("Organization"));
        }
        let membership = match (now.organization, now.member) {
            // What acts as one membership acts as no later one of the same person.
            (Some(_), Some(bound)) => membership.filter(|own| own.id == bound),
            _ => now.service_membership().or(*membership),
        };
        if membership.is_none() && !now.is_operator {
            return Err(Error::Outsider("User is not a member of this organization.".into()));
        }
        let cx = (*cx).clone().with_actor(Actor::User(Arc::new(now)));
        let tenant = tenant.judged_again(&cx, membership)?;
        Ok((cx, tenant))
    };
    Ok(claims.iter().map(outcome).collect())
}

async fn confirm_one(cx: &Cx, tx: &mut Tx, tenant: &Tenant, ends: &[Uuid]) -> Result<Confirmed> {
    let outcomes = confirm(tx, &[Claim { cx, tenant: *tenant }], ends).await?;
    outcomes.into_iter().next().unwrap_or(Err(Error::Unauthenticated))
}

/// The signed-in user with what their credential allows now.
async fn confirm_own(cx: &Cx, tx: &mut Tx, ends: &[Uuid]) -> Result<Cx> {
    let principal: &Principal = cx.principal()?;
    let ends = ends.iter().map(|subject| (key(*subject), Hold::Alone));
    let shared = principal.subjects().map(|subject| (key(subject), Hold::Shared));
    let locks = tx.locks(ends.chain(shared));
    let first = locks.len();
    let answers = ask(tx, &[locks, credentials::questions(principal)].concat()).await?;
    let now = credentials::read_again(cx, principal, answers.into_iter().skip(first).map(|mut rows| rows.pop()).collect())?;
    Ok(cx.clone().with_actor(Actor::User(Arc::new(now))))
}

async fn ask(tx: &mut Tx, questions: &[(Statement, Vec<Value>)]) -> Result<Vec<Vec<Row>>> {
    let borrowed: Vec<(Statement, &[Value])> = questions.iter().map(|(statement, bound)| (*statement, bound.as_slice())).collect();
    Ok(tx.query_all(&borrowed).await?)
}

impl Tenant {
    /// Runs `work` in one transaction in this organization, after the actor's right to the action was confirmed in it. What `work` gets is the
    /// actor and the organization as they are now.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a credential that has ended; [`Error::Outsider`] for a member who was removed; [`Error::Forbidden`] for
    /// what the role or the credential allows no longer; [`Error::NotFound`] for an organization that is gone; those of `work`.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        cx: &Cx,
        work: impl AsyncFn(&Cx, &mut Tx, &Tenant) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        self.write_ending(cx, None, work).await
    }

    /// Like [`Tenant::write`], for what ends or changes a credential, a membership, an app or the organization itself: see [`revoke`].
    ///
    /// # Errors
    /// Those of [`Tenant::write`].
    pub(crate) async fn write_ending<T: Send + 'static>(
        &self,
        cx: &Cx,
        ends: impl IntoIterator<Item = Uuid>,
        work: impl AsyncFn(&Cx, &mut Tx, &Tenant) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let ends: Vec<Uuid> = ends.into_iter().collect();
        let tenant = *self;
        cx.write_as_server(async move |cx, tx| {
            let (cx, tenant) = confirm_one(cx, tx, &tenant, &ends).await?;
            work(&cx, tx, &tenant).await
        })
        .await
    }
}

impl Cx {
    /// Runs `work` in one transaction that writes what is the signed-in user's own, after their credential was confirmed in it.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a credential that has ended; those of `work`.
    pub(crate) async fn write_own<T: Send + 'static>(
        &self,
        work: impl AsyncFn(&Cx, &mut Tx) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        self.write_own_ending(None, work).await
    }

    /// Like [`Cx::write_own`], for what ends or changes a credential or the account itself: see [`revoke`].
    ///
    /// # Errors
    /// Those of [`Cx::write_own`].
    pub(crate) async fn write_own_ending<T: Send + 'static>(
        &self,
        ends: Option<Uuid>,
        work: impl AsyncFn(&Cx, &mut Tx) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        self.write_as_server(async move |cx, tx| {
            let cx = confirm_own(cx, tx, ends.as_slice()).await?;
            work(&cx, tx).await
        })
        .await
    }
}
