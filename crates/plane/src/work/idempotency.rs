//! Requests that are to be carried out once however often they are sent: what was answered to an Idempotency-Key, kept for 24
//! hours unless the server is set otherwise, and then erased like everything that has had its time (`retention/`).
//!
//! An answer can hold secrets, so it is sealed (AES-256-GCM) with a key that is derived from what only its sender has: the Idempotency-Key
//! itself, of which nothing but a hash is kept, and the secret of the API key it came with. Before a request is carried out its row is
//! taken; if the server stops in between, the row says that the result is unknown.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hkdf, hmac};
use jiff::Timestamp;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::cx::{Actor, Cx};
use crate::ids::SERVER_SCOPE;
use crate::principal::CredentialKind;
use crate::retention_periods::Retention;
use crate::{Error, Plane, Result, access, authority, standing};

/// The form in which answers are sealed: another one is not opened.
const FORM: &[u8] = b"2";

/// A request that its sender may repeat.
#[derive(Debug, Clone)]
pub struct Repeatable {
    /// What the sender calls it: the Idempotency-Key.
    pub key: String,
    /// The secret that came with it, when the sender presents the same one every time.
    pub secret: Option<String>,
    /// Everything that makes it this request and no other.
    pub parts: Vec<Vec<u8>>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Begun {
    /// It is the first of its name: carry it out, then [`finish`].
    Go(Ticket),
    /// It was carried out, and this was the answer.
    Answered(Vec<u8>),
    /// Another request had this name.
    OtherRequest,
    /// It is being carried out.
    UnderWay,
    /// It was begun and its result is unknown: the server stopped meanwhile, gave up waiting, or did not hear the database's answer.
    Unknown,
}

/// The right to carry out a request, and what its answer is sealed with.
pub struct Ticket {
    id: Uuid,
    request_hash: [u8; 32],
    sealing: LessSafeKey,
    /// Whose request it is while it is carried out.
    place: Option<Arc<Place>>,
}

/// Rows of requests that have changed nothing, of which the database could not be told, at the most. The outcome of more than these is unknown.
const MOST_UNDONE: usize = 10_000;

/// A request's place among those that are under way, given back when it has ended.
struct Place {
    plane: Arc<Plane>,
    row: Uuid,
    holder: Uuid,
}

impl Place {
    fn take(&self) {
        self.plane.run.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(self.row, self.holder);
    }

    /// Remembers that the request has changed nothing, if it is the one with the row.
    fn note_undone(&self) {
        let under_way = self.plane.run.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let mut undone = self.plane.run.undone.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.get(&self.row) == Some(&self.holder) && undone.len() < MOST_UNDONE {
            undone.insert(self.row);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.plane.run.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.get(&self.row) == Some(&self.holder) {
            under_way.remove(&self.row);
        }
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ticket").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How a request ended.
#[derive(Debug)]
pub enum Ending {
    /// With an answer that is given to every repetition, if its sender still has what was asked of them. One that tells of the organization
    /// is erased with it.
    Answered {
        /// The answer.
        answer: Vec<u8>,
        /// Whether it tells of the organization, as answers to deletions do not.
        tells: bool,
    },
    /// With nothing done: a repetition is carried out.
    Undone,
    /// The result is unknown.
    Unknown,
}

/// Takes the request's name, or tells what came of the request that has it.
///
/// # Errors
/// Those that the request would get now, if the actor has no longer what was asked of them when it was carried out: role, scopes, an
/// organization that the credential is good for; the database's.
pub async fn begin(cx: &Cx, request: &Repeatable) -> Result<Begun> {
    let mut ticket = Ticket::derive(cx, request)?;
    let Some(mut found) = ticket.take(cx, false).await? else { return Ok(Begun::Go(ticket)) };
    let id = ticket.id;
    let is_under_way = || cx.plane.run.under_way.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id);
    let is_alone = found.answer.is_none() && found.worker == cx.plane.run.id && !is_under_way();
    let is_the_same = verify_slices_are_equal(&found.request_hash, &ticket.request_hash).is_ok();
    if is_alone {
        let was_undone = is_the_same && undone(cx).remove(&id);
        // It may have ended since the row was read.
        let taken = ticket.take(cx, was_undone).await.inspect_err(|_| {
            if was_undone {
                undone(cx).insert(id);
            }
        });
        match taken? {
            None => return Ok(Begun::Go(ticket)),
            Some(again) => found = again,
        }
    }
    if verify_slices_are_equal(&found.request_hash, &ticket.request_hash).is_err() {
        return Ok(Begun::OtherRequest);
    }
    let Some(answer) = found.answer else {
        return Ok(if found.worker == cx.plane.run.id && (!is_alone || is_under_way()) { Begun::UnderWay } else { Begun::Unknown });
    };
    // One that a version of before has kept does not say what was asked.
    let Some((asked, answer)) = ticket.open(answer).as_deref().and_then(standing::unpack) else { return Ok(Begun::Unknown) };
    if let (Some(organization), Actor::User(_)) = (found.organization, &cx.actor) {
        access::remains(cx, organization).await?;
    }
    standing::check(cx, &asked).await?;
    Ok(Begun::Answered(answer))
}

/// Says how a request ended.
///
/// # Errors
/// The database's: repetitions then hear that the result is unknown.
pub async fn finish(cx: &Cx, ticket: Ticket, ending: Ending) -> Result<()> {
    match ending {
        Ending::Undone => {
            let id = ticket.id;
            let erased = cx.write_as_server(async move |cx, tx| erase(cx, tx, id).await).await;
            if let (Err(_), Some(place)) = (&erased, &ticket.place) {
                place.note_undone();
            }
            erased
        }
        Ending::Unknown => {
            let id = ticket.id;
            cx.write_as_server(async move |cx, tx| {
                let statement = sql!("UPDATE idempotent_answers SET worker = $3 WHERE id = $1 AND worker = $2 AND answer IS NULL");
                tx.execute(statement, params![id, cx.plane.run.id, Uuid::nil()]).await?;
                Ok(())
            })
            .await
        }
        Ending::Answered { answer, tells } => {
            // What people do to their own account is noted under no organization, and outlives each.
            let organization = cx.noted_organization().filter(|organization| tells && *organization != SERVER_SCOPE);
            let sealed = ticket.seal(standing::pack(&standing::to_ask(cx, tells).await?, &answer))?;
            let id = ticket.id;
            cx.write_as_server(async move |cx, tx| keep(cx, tx, id, organization, &sealed).await).await
        }
    }
}

/// A row that another request took before.
struct Found {
    request_hash: Vec<u8>,
    worker: Uuid,
    answer: Option<Vec<u8>>,
    organization: Option<Uuid>,
}

columns! { Found { request_hash, worker, answer, organization: "organization_id" } }

/// Rows of requests that have changed nothing, of which the database could not be told.
fn undone(cx: &Cx) -> MutexGuard<'_, HashSet<Uuid>> {
    cx.plane.run.undone.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a row, or returns the one that is there. One that has had its time is as good as none.
async fn take(cx: &Cx, tx: &mut Tx, place: &Place, request_hash: [u8; 32]) -> Result<Option<Found>> {
    let id = place.row;
    let insert = sql!(
        "INSERT INTO idempotent_answers (id, request_hash, worker, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE
         SET request_hash = excluded.request_hash, worker = excluded.worker, created_at = excluded.created_at, answer = NULL,
             organization_id = NULL
         WHERE idempotent_answers.created_at <= $5"
    );
    if tx.execute(insert, params![id, &request_hash[..], cx.plane.run.id, cx.now, last_birth(cx)]).await? == 1 {
        // Before anybody can see the row.
        place.take();
        return Ok(None);
    }
    let select = sql!("SELECT {columns} FROM idempotent_answers WHERE id = $1", Found);
    Ok(Some(tx.read_one(select, params![id]).await?))
}

async fn keep(cx: &Cx, tx: &mut Tx, id: Uuid, organization: Option<Uuid>, sealed: &[u8]) -> Result<()> {
    if let Some(organization) = organization {
        // A deletion of it that comes now waits for this and erases it. One that came before is seen below.
        authority::share(tx, [organization].into_iter()).await?;
        if tx.query_opt(access::LIVE, params![organization]).await?.is_none() {
            // It was deleted meanwhile, and with it goes what was answered about it.
            return erase(cx, tx, id).await;
        }
    }
    let statement =
        sql!("UPDATE idempotent_answers SET answer = $3, organization_id = $4 WHERE id = $1 AND worker = $2 AND answer IS NULL");
    tx.execute(statement, params![id, cx.plane.run.id, sealed, organization]).await?;
    Ok(())
}

async fn erase(cx: &Cx, tx: &mut Tx, id: Uuid) -> Result<()> {
    let statement = sql!("DELETE FROM idempotent_answers WHERE id = $1 AND worker = $2 AND answer IS NULL");
    tx.execute(statement, params![id, cx.plane.run.id]).await?;
    Ok(())
}

/// Rows made then or earlier have had their time.
fn last_birth(cx: &Cx) -> Timestamp {
    cx.plane.config.retention.limit(Retention::Answers, cx.now).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Ticket {
    /// Takes the row of this request, or returns the one that is there. One of a request that has changed nothing is as good as none.
    async fn take(&mut self, cx: &Cx, was_undone: bool) -> Result<Option<Found>> {
        let place = Arc::new(Place { plane: cx.plane.clone(), row: self.id, holder: Uuid::from_bytes(deletion::random()?) });
        let (taken, hash) = (place.clone(), self.request_hash);
        let found = cx.write_as_server(async move |cx, tx| {
            if was_undone {
                erase(cx, tx, taken.row).await?;
            }
            take(cx, tx, &taken, hash).await
        });
        let found = found.await;
        match &found {
            Ok(None) => self.place = Some(place),
            Ok(Some(_)) => {}
            // The row may be there, and no request holds it.
            Err(_) => place.note_undone(),
        }
        found
    }

    /// Everything that is needed of a request, from what its sender has and the database has not.
    fn derive(cx: &Cx, request: &Repeatable) -> Result<Ticket> {
        let (kind, owner) = owner(cx);
        let run = match &cx.actor {
            // Requests of anonymous callers hold passwords: what is kept of them can be compared and opened in this run of the server only.
            Actor::Anonymous => &cx.plane.run.secret[..],
            _ => &[],
        };
        let secret = request.secret.as_deref().unwrap_or_default().as_bytes();
        let material = joined([kind, &owner[..], run, secret, request.key.as_bytes()]);
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, b"freehold idempotency 1").extract(&material);
        let part = |name: &'static [u8]| -> Result<[u8; 32]> {
            let mut bytes = [0; 32];
            let filled = derived.expand(&[name], hkdf::HKDF_SHA256).and_then(|output| output.fill(&mut bytes));
            filled.map(|()| bytes).map_err(|_| Error::Internal("no key could be derived".into()))
        };
        let (name, comparing, sealing) = (part(b"name")?, part(b"request")?, part(b"answer")?);
        let mut id = [0; 16];
        id.copy_from_slice(&name[..16]);
        let mut request_hash = [0; 32];
        let parts = joined(request.parts.iter().map(Vec::as_slice));
        request_hash.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &comparing), &parts).as_ref());
        let sealing = UnboundKey::new(&AES_256_GCM, &sealing).map_err(|_| Error::Internal("no key could be made".into()))?;
        Ok(Ticket { id: Uuid::from_bytes(id), request_hash, sealing: LessSafeKey::new(sealing), place: None })
    }

    /// Nonce, then ciphertext and tag. The request's hash and the form of what is sealed are bound in.
    fn seal(&self, mut answer: Vec<u8>) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = deletion::random()?;
        let sealed = self.sealing.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), self.bound(), &mut answer);
        sealed.map_err(|_| Error::Internal("an answer could not be sealed".into()))?;
        Ok([&nonce[..], &answer].concat())
    }

    fn open(&self, sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (nonce, mut rest) = sealed.split_first_chunk::<NONCE_LEN>().map(|(nonce, rest)| (*nonce, rest.to_vec()))?;
        let opened = self.sealing.open_in_place(Nonce::assume_unique_for_key(nonce), self.bound(), &mut rest).ok()?;
        Some(opened.to_vec())
    }

    fn bound(&self) -> Aad<Vec<u8>> {
        Aad::from([&self.request_hash[..], FORM].concat())
    }
}

/// Whose the name is. Sessions and tokens change, so theirs are their user's and their app's.
fn owner(cx: &Cx) -> (&'static [u8], Vec<u8>) {
    match &cx.actor {
        Actor::User(principal) => match principal.kind {
            CredentialKind::ApiKey => (b"key", principal.credential.as_bytes().to_vec()),
            CredentialKind::Session => (b"user", principal.user.as_bytes().to_vec()),
            // However many tokens the app gets.
            CredentialKind::OauthToken => (b"app", principal.app.unwrap_or(principal.credential).as_bytes().to_vec()),
        },
        Actor::Anonymous | Actor::System | Actor::Orderer(_) => {
            (b"address", cx.client.map_or_else(Vec::new, |client| client.to_string().into_bytes()))
        }
    }
}

/// Parts one after the other, each behind its length, so that no two lists come to the same bytes.
fn joined<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part);
    }
    bytes
}
