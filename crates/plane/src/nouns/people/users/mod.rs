//! Users: people with an e-mail address and a password, members of any number of organizations.

mod delete;
pub mod operators;

use std::sync::Arc;

use serde_json::Value as Json;
use sql::{Tx, params, sql};
use uuid::Uuid;

pub use delete::{MOST_MEMBERSHIPS, delete};
pub(crate) use delete::{blockers, may_delete};

use crate::attempts::{Attempt, Counted};
use crate::audit;
use crate::authority::revoke;
use crate::cx::Actor;
use crate::fields::{Check, merge_metadata};
use crate::guessable::{self, Context};
use crate::ids::SERVER_SCOPE;
use crate::normal_forms::{self, email_key, search_key};
use crate::passwords::Fit;
use crate::policy::{Action, Verdict, decide};
use crate::principal::CredentialKind;
pub use crate::user::User;
use crate::{Cx, Error, FieldError, Result, ledger, sessions};

/// Bytes of metadata up to which a user is held in memory: what everybody may fill must not fill it.
const LIGHT: usize = 1_024;

/// A new user.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[schemars(rename = "SignUp")]
pub struct NewUser {
    /// Unique without regard to case.
    #[schemars(with = "crate::wire::Email")]
    pub email: String,
    /// How the person wants to be called; the address' first part if missing.
    #[schemars(length(min = 1, max = 100), example = &"Ada Lovelace")]
    pub name: Option<String>,
    /// One that others would not guess.
    #[schemars(with = "crate::wire::Password")]
    pub password: String,
    /// Whether this is one of the people who run the server.
    #[serde(skip)]
    pub is_operator: bool,
}

/// What a user changes about themselves. What is missing stays.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
pub struct UserChange {
    /// How the person wants to be called.
    #[schemars(length(min = 1, max = 100), example = &"Ada Lovelace")]
    pub name: Option<String>,
    /// Merged into what is there; an empty text takes a key away.
    #[serde(default = "crate::wire::no_object", deserialize_with = "crate::wire::object")]
    #[schemars(with = "Option<crate::wire::Metadata>")]
    pub metadata: Json,
}

/// Makes a user. An address that is taken is no error, and takes as long: the caller does not learn whose addresses are known here. Returns
/// the id if the user is new.
///
/// # Errors
/// [`Error::Invalid`], or [`Error::Overloaded`] when too many passwords are being hashed.
pub async fn sign_up(cx: &Cx, new: NewUser) -> Result<Option<Uuid>> {
    let email = new.email.trim().to_owned();
    let name = new.name.unwrap_or_else(|| email.split('@').next().unwrap_or_default().chars().take(100).collect());
    let password = normal_forms::password(&new.password).into_owned();
    let mut check = Check::new();
    check.email("email", &email).name("name", &name, 1..=100);
    let context = Context::new(&cx.plane.config.public_url).email(&email).name(&name);
    guessable::check(&mut check, "password", &password, &context);
    check.finish()?;
    let hash = cx.plane.hasher.hash(password).await?;
    let is_operator = new.is_operator;
    cx.write_as_server(async move |cx, tx| {
        let id = cx.new_id()?;
        let statement = sql!(
            "INSERT INTO users (id, email, name, password_hash, is_operator, created_at, email_key, search_key)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"
        );
        let values = params![id, &email, &name, &hash, is_operator, cx.now, email_key(&email), search_key(&[&name], &email)];
        let inserted = tx.execute(statement, values).await?;
        Ok((inserted == 1).then_some(id))
    })
    .await
}

/// Whether there is anybody.
///
/// # Errors
/// The database's.
pub async fn are_there(cx: &Cx) -> Result<bool> {
    cx.read(async move |_, tx| Ok(tx.query_opt(sql!("SELECT 1 FROM users LIMIT 1"), &[]).await?.is_some())).await
}

/// The signed-in user.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::Forbidden`] for a key without the scope: one that was published must not tell who made it.
pub async fn me(cx: &Cx) -> Result<Arc<User>> {
    let principal = cx.needs("read:user")?;
    if let Some(known) = cx.plane.credential_cache.user(principal.user) {
        return Ok(known);
    }
    let mark = cx.plane.credential_cache.read_mark();
    let id = principal.user;
    let user = Arc::new(cx.read(async move |_, tx| load(tx, id).await).await?);
    if user.metadata.to_string().len() <= LIGHT {
        cx.plane.credential_cache.keep_user(&mark, &user);
    }
    Ok(user)
}

/// Changes what the signed-in user says about themselves.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::Forbidden`] for a key without the scope; [`Error::Invalid`].
pub async fn update(cx: &Cx, change: UserChange) -> Result<User> {
    // The answer is the account.
    cx.needs("read:user")?;
    let principal = cx.needs("write:user")?;
    let mut check = Check::new();
    if let Some(name) = &change.name {
        check.name("name", name, 1..=100);
    }
    check.metadata("metadata", &change.metadata).finish()?;
    let id = principal.user;
    cx.write_own_ending(Some(principal.user), async move |cx, tx| {
        // Takes the row's lock: of two who write different keys at once neither loses one.
        tx.execute(sql!("UPDATE users SET name = name WHERE id = $1"), params![id]).await?;
        let old = load(tx, id).await?;
        cx.expects_tag(&old.etag())?;
        let metadata = merge_metadata("metadata", &old.metadata, &change.metadata)?;
        let name = change.name.as_ref().unwrap_or(&old.name);
        if (name, &metadata) == (&old.name, &old.metadata) {
            return Ok(old);
        }
        let statement = sql!("UPDATE users SET name = $2, metadata = $3, search_key = $4 WHERE id = $1");
        tx.execute(statement, params![id, name, &metadata, search_key(&[name], &old.email)]).await?;
        audit::record(cx, tx, SERVER_SCOPE, &audit::about_user("user.update", id)).await?;
        revoke(cx, tx, id).await?;
        load(tx, id).await
    })
    .await
}

/// A user in an organization of the signed-in user, where the credential is good and their role may list members; or the signed-in user.
///
/// # Errors
/// [`Error::NotFound`] for everybody else; [`Error::Forbidden`] for a key without the scope.
pub async fn get(cx: &Cx, user: Uuid) -> Result<User> {
    let principal = cx.needs("read:user")?;
    let principal = principal.clone();
    cx.read(async move |_, tx| {
        if principal.user != user {
            let statement = sql!(
                "SELECT own.role
                 FROM members AS own
                 JOIN organizations ON organizations.id = own.organization_id AND organizations.state = 'live'
                 JOIN members AS theirs ON theirs.organization_id = own.organization_id AND theirs.state = 'live'
                 WHERE own.user_id = $1 AND own.state = 'live' AND theirs.user_id = $2 AND (own.organization_id = $3 OR $3 IS NULL)"
            );
            let mut may_know = false;
            for role in tx.read_all(statement, params![principal.user, user, principal.organization]).await? {
                may_know |= decide(role, Action::ListMembers) == Verdict::Yes;
            }
            if !may_know {
                return Err(Error::NotFound("User"));
            }
        }
        load(tx, user).await
    })
    .await
}

/// Gives the signed-in user another password and ends all of their other sessions at once. Keys go on: they are revoked one by one.
///
/// # Errors
/// [`Error::Invalid`] when the current password is wrong or the new one is not acceptable; [`Error::TooManyAttempts`]; [`Error::Forbidden`]
/// for an API key.
pub async fn change_password(cx: &Cx, current: String, new: String) -> Result<()> {
    let principal = cx.principal()?;
    if principal.kind != CredentialKind::Session {
        return Err(Error::Forbidden("A password is changed by a person: sign in instead of using a key.".into()));
    }
    let new = normal_forms::password(&new).into_owned();
    let wrong = || Error::from(FieldError::new("current_password", "wrong_password", "is not your password"));
    let id = principal.user;
    let (email, old, context) = cx
        .read(async move |cx, tx| {
            let found = tx.read_opt(sql!("SELECT email, name, password_hash FROM users WHERE id = $1"), params![id]).await?;
            let (email, name, hash): (String, String, String) = found.ok_or(Error::Unauthenticated)?;
            let mut context = Context::new(&cx.plane.config.public_url).email(&email).name(&name);
            let statement = sql!(
                "SELECT organizations.name, organizations.slug
                 FROM members JOIN organizations ON organizations.id = members.organization_id
                 WHERE members.user_id = $1 AND members.state = 'live' LIMIT 1000"
            );
            for (name, slug) in tx.read_all::<(String, String)>(statement, params![id]).await? {
                context = context.name(&name).name(&slug);
            }
            Ok((email, hash, context))
        })
        .await?;
    let mut check = Check::new();
    guessable::check(&mut check, "new_password", &new, &context);
    check.finish()?;
    let counted = Counted::attempt(cx.attempts.as_ref(), Attempt::CurrentPassword(&email_key(&email)))?;
    if cx.plane.hasher.verify(counted, current, Some(old.clone())).await? == Fit::None {
        return Err(wrong());
    }
    ledger::takes_lines(cx)?;
    let hash = cx.plane.hasher.hash(new).await?;
    let principal = principal.clone();
    let changed = cx
        .write_own_ending(Some(principal.user), async move |cx, tx| {
            let statement = sql!("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2");
            if tx.execute(statement, params![principal.user, &old, &hash]).await? == 0 {
                return Ok(false);
            }
            cx.expects_tag(&load(tx, principal.user).await?.etag())?;
            sessions::end_others(cx, tx, principal.user, principal.credential).await?;
            ledger::changed(cx, tx, ledger::Credential::Password, None, principal.user).await?;
            audit::record(cx, tx, SERVER_SCOPE, &audit::about_user("user.change_password", principal.user)).await?;
            Ok(true)
        })
        .await?;
    // Of two changes at once the second was based on a password that is none any more.
    if changed { Ok(()) } else { Err(wrong()) }
}

/// Gives a user another password without asking for the old one, and ends all of their sessions. For the person at the program's own command
/// line.
///
/// # Errors
/// [`Error::Forbidden`] for everybody else; [`Error::NotFound`] for an unknown address; [`Error::Invalid`].
pub async fn reset_password(cx: &Cx, email: &str, new: String) -> Result<()> {
    if !matches!(cx.actor, Actor::System) {
        return Err(Error::Forbidden("A password is reset on the server's command line only.".into()));
    }
    let new = normal_forms::password(&new).into_owned();
    let mut check = Check::new();
    guessable::check(&mut check, "password", &new, &Context::new(&cx.plane.config.public_url).email(email.trim()));
    check.finish()?;
    let hash = cx.plane.hasher.hash(new).await?;
    let email = email_key(email);
    cx.write_as_server(async move |cx, tx| {
        let statement = sql!("UPDATE users SET password_hash = $2 WHERE email_key = $1 AND state = 'live' RETURNING id");
        let id: Uuid = tx.read_opt(statement, params![&email, &hash]).await?.ok_or(Error::NotFound("User"))?;
        sessions::end_others(cx, tx, id, Uuid::nil()).await?;
        ledger::changed(cx, tx, ledger::Credential::Password, None, id).await?;
        audit::record(cx, tx, SERVER_SCOPE, &audit::about_user("user.reset_password", id)).await
    })
    .await
}

async fn load(tx: &mut Tx, id: Uuid) -> Result<User> {
    tx.read_opt(sql!("SELECT {columns} FROM users WHERE id = $1", User), params![id]).await?.ok_or(Error::Unauthenticated)
}
