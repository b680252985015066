//! The context of one piece of work: who acts, when, for which request, on which plane. The same for requests, jobs, the command line
//! and tests. Time and randomness come from the plane's clock and `deletion::random`, and from nowhere else (`clippy.toml` forbids the rest).

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deletion::PlanToken;
use jiff::Timestamp;
use sql::Tx;
use uuid::Uuid;

use crate::attempts::CountsAttempts;
use crate::policy::Action;
use crate::principal::Fingerprint;
use crate::principal::Principal;
use crate::revisions::{Precondition, etag};
use crate::{Error, Plane, Result};

/// Who acts.
#[derive(Debug, Clone)]
pub enum Actor {
    /// A caller who has not signed in.
    Anonymous,
    /// A user, through a session, a token or a key.
    User(Arc<Principal>),
    /// The program itself: a job, or the person at its command line.
    System,
    /// A job that does what a member ordered. The member need not be there any more.
    Orderer(Arc<Orderer>),
}

/// Something that was asked of the sender, who had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// A scope, of a credential that is limited to some.
    Scope(&'static str),
    /// That the credential is good in this organization, if it is bound to one.
    GoodIn(Uuid),
    /// A role, and the scope that goes with it.
    Action {
        organization: Uuid,
        action: Action,
        /// Whether the role allowed it for customers of one's own only.
        managed_only: bool,
    },
    /// The secret of an OAuth app.
    Client { app: Uuid, secret: Fingerprint },
}

/// Who ordered what a job does, as the order's record says.
#[derive(Debug, Clone)]
pub struct Orderer {
    /// `user`, `api_key`, `service_account`, `oauth_app`, `operator` or `system`.
    pub kind: String,
    /// The user, or the service account.
    pub user: Option<Uuid>,
    /// The session, key or token they used.
    pub credential: Option<Uuid>,
}

/// The context of one piece of work. Cheap to clone.
#[derive(Clone)]
pub struct Cx {
    /// The server this happens on.
    pub plane: Arc<Plane>,
    /// Who acts.
    pub actor: Actor,
    /// When it began, to the microsecond.
    pub now: Timestamp,
    /// The request's id, or a job's name.
    pub request_id: Arc<str>,
    /// The address of the client, for a request that came over a network.
    pub client: Option<IpAddr>,
    /// The conditions on the state of the record that is changed.
    pub precondition: Option<Arc<Precondition>>,
    /// What counts attempts to prove a password; where nothing does none is made.
    pub(crate) attempts: Option<Arc<dyn CountsAttempts>>,
    /// What was typed to confirm a deletion.
    pub(crate) confirmation: Option<Arc<str>>,
    /// The plan that a deletion is bound to.
    pub(crate) planned: Option<Arc<PlanToken>>,
    /// What the work turned out to be about, the same for all clones of this context.
    found_out: Arc<Mutex<FoundOut>>,
    /// Transactions that were begun and are not known to have changed nothing, the same for all clones of this context.
    effects: Arc<AtomicUsize>,
    /// The last line of the ledger that tells of this work, the same for all clones of this context; 0 for none.
    ledger_line: Arc<AtomicU64>,
}

/// What a piece of work turned out to be about.
#[derive(Default)]
struct FoundOut {
    organization: Option<Uuid>,
    demands: Vec<Demand>,
}

impl Cx {
    /// The context of a request before its caller is known.
    pub fn new(plane: &Arc<Plane>, request_id: impl Into<Arc<str>>) -> Cx {
        Cx {
            plane: plane.clone(),
            actor: Actor::Anonymous,
            now: plane.clock.now(),
            request_id: request_id.into(),
            client: None,
            precondition: None,
            attempts: None,
            confirmation: None,
            planned: None,
            found_out: Arc::default(),
            effects: Arc::default(),
            ledger_line: Arc::default(),
        }
    }

    /// The same work, done by another actor.
    pub fn with_actor(mut self, actor: Actor) -> Cx {
        self.actor = actor;
        self
    }

    /// The same work, asked for from this address.
    pub fn with_client(mut self, client: IpAddr) -> Cx {
        self.client = Some(client);
        self
    }

    /// The same work, with attempts to prove a password counted there.
    pub fn counting(mut self, attempts: Arc<dyn CountsAttempts>) -> Cx {
        self.attempts = Some(attempts);
        self
    }

    /// The same work, under a condition on the state of what it changes.
    pub fn under(mut self, precondition: Option<Arc<Precondition>>) -> Cx {
        self.precondition = precondition;
        self
    }

    /// The same work, confirmed by what was typed: for organizations that ask for their slug.
    pub fn confirmed(mut self, typed: &str) -> Cx {
        self.confirmation = Some(typed.into());
        self
    }

    /// Remembers which organization the work is about; the last one counts.
    pub(crate) fn note_organization(&self, organization: Uuid) {
        self.found_out().organization = Some(organization);
    }

    /// The organization that the work turned out to be about, if it came to that.
    pub fn noted_organization(&self) -> Option<Uuid> {
        self.found_out().organization
    }

    /// Remembers what was asked of the actor, and that they had it.
    pub(crate) fn note_demand(&self, demand: Demand) {
        let demands = &mut self.found_out().demands;
        if !demands.contains(&demand) {
            demands.push(demand);
        }
    }

    /// What was asked of the actor so far.
    pub(crate) fn noted_demands(&self) -> Vec<Demand> {
        self.found_out().demands.clone()
    }

    fn found_out(&self) -> MutexGuard<'_, FoundOut> {
        self.found_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many transactions of this work may have changed something: committed, under way, or with an outcome that the database did not
    /// tell.
    pub fn effects(&self) -> usize {
        self.effects.load(Ordering::Relaxed)
    }

    pub(crate) fn ledger_line(&self) -> &AtomicU64 {
        &self.ledger_line
    }

    /// Waits until the disk has what the ledger is to say of this work, which is when it may be answered; and, where it was `done_before`, what it is
    /// to say of anything. Returns whether the disk has it: not for longer than 5 seconds is waited for.
    pub async fn told_ledger(&self, done_before: bool) -> bool {
        let line = if done_before { self.plane.ledger.last_line() } else { self.ledger_line.load(Ordering::Relaxed) };
        line == 0 || self.plane.ledger.written(line).await
    }

    /// Counts a transaction for [`Cx::effects`]. One whose caller stops waiting for it stays counted: it goes on to its end.
    async fn counted<T>(&self, transaction: impl Future<Output = Result<T>>) -> Result<T> {
        self.effects.fetch_add(1, Ordering::Relaxed);
        let result = transaction.await;
        self.plane.ledger.count_write();
        match &result {
            Err(error) if error.is_rolled_back() => {
                self.effects.fetch_sub(1, Ordering::Relaxed);
            }
            Err(_) => self.plane.ledger.note_uncertain(),
            Ok(_) => {}
        }
        result
    }

    /// The signed-in user's principal.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for an anonymous caller, for the system and for its jobs; [`Error::Forbidden`] for a publishable key,
    /// which is in the hands of strangers: what it may read does not ask for a principal.
    pub fn principal(&self) -> Result<&Arc<Principal>> {
        match self.presented() {
            Some(principal) if principal.is_publishable() => {
                Err(Error::Forbidden("Access denied. A publishable key reads the organization's public profile and nothing else.".into()))
            }
            Some(principal) => Ok(principal),
            None => Err(Error::Unauthenticated),
        }
    }

    /// What was presented and is good, of whatever kind: for what is counted, and for what says whether it is good.
    pub fn presented(&self) -> Option<&Arc<Principal>> {
        match &self.actor {
            Actor::User(principal) => Some(principal),
            Actor::Anonymous | Actor::System | Actor::Orderer(_) => None,
        }
    }

    /// The organization of a publishable key.
    pub(crate) fn published_organization(&self) -> Option<Uuid> {
        self.presented().filter(|principal| principal.is_publishable())?.organization
    }

    /// The signed-in user's principal, if their credential has this scope or is not limited to any.
    ///
    /// # Errors
    /// Those of [`Cx::principal`]; [`Error::Forbidden`].
    pub(crate) fn needs(&self, scope: &'static str) -> Result<&Arc<Principal>> {
        let principal = self.principal()?;
        principal.needs(scope)?;
        self.note_demand(Demand::Scope(scope));
        Ok(principal)
    }

    /// A new id (UUID version 7, RFC 9562): ids of one table sort by their time of birth.
    ///
    /// # Errors
    /// [`Error::Internal`] when the system has no randomness.
    pub fn new_id(&self) -> Result<Uuid> {
        Ok(deletion::new_id(self.now)?)
    }

    /// Writes what needs no right of an actor: the server's own jobs and bookkeeping, and what a secret in the request proves by itself. What
    /// an actor does goes through [`Tenant::write`](crate::access::Tenant::write) or [`Cx::write_own`]; a test lists who calls this.
    pub(crate) async fn write_as_server<T: Send + 'static>(
        &self,
        work: impl AsyncFn(&Cx, &mut Tx) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let cx = self.clone();
        // In boxes, since these are large and every request would carry their room with it, also those that never come here.
        Box::pin(self.counted(self.plane.db.write(async move |tx| work(&cx, tx).await))).await
    }

    /// Like [`Cx::write_as_server`], for a step of long work: [`sql::Database::write_behind`].
    pub(crate) async fn write_behind<T: Send + 'static>(
        &self,
        may_be_lost: bool,
        work: impl AsyncFn(&Cx, &mut Tx) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let cx = self.clone();
        Box::pin(self.plane.db.write_behind(may_be_lost, async move |tx| work(&cx, tx).await)).await
    }

    pub(crate) async fn read<T: Send + 'static>(&self, work: impl AsyncFn(&Cx, &mut Tx) -> Result<T> + Send + Sync + 'static) -> Result<T> {
        self.read_filtered(false, work).await
    }

    /// Like [`Cx::read`]. What is filtered goes through many rows for few: it takes no reader away from other reads.
    pub(crate) async fn read_filtered<T: Send + 'static>(
        &self,
        is_filtered: bool,
        work: impl AsyncFn(&Cx, &mut Tx) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        // Only what goes on inside an organization is counted as its own: finding out whether a caller may come in waits for no place.
        let _turn = match self.noted_organization() {
            Some(organization) => Some(self.plane.fair_readers.turn(organization).await?),
            None => None,
        };
        let cx = self.clone();
        let work = async move |tx: &mut Tx| work(&cx, tx).await;
        match self.actor {
            // The server's own jobs, for which no caller waits.
            Actor::System | Actor::Orderer(_) => Box::pin(self.plane.db.read_behind(work)).await,
            _ if is_filtered => Box::pin(self.plane.db.search(work)).await,
            _ => Box::pin(self.plane.db.read(work)).await,
        }
    }
}

impl Cx {
    /// Fails when the caller named the states in which a record may be changed and this is none of them. The record's row is locked.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub(crate) fn expects(&self, id: Uuid, revision: i64) -> Result<()> {
        match &self.precondition {
            None => Ok(()),
            Some(_) => self.expects_tag(&etag(id, revision)),
        }
    }

    /// The same, for the tag of the record as it is.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub(crate) fn expects_tag(&self, tag: &str) -> Result<()> {
        match &self.precondition {
            Some(precondition) if !precondition.is_met_by(tag) => Err(Error::Stale),
            _ => Ok(()),
        }
    }
}
