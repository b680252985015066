//! Users: people with an e-mail address and a password, members of any number of organizations.

use sql::{params, sql};
use uuid::Uuid;

use crate::fields::{Check, normal_email};
use crate::{Cx, Error, Result};

/// A new user.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The address, unique without regard to case.
    pub email: String,
    /// 8 to 256 characters.
    pub password: String,
    /// How the person wants to be called, 1 to 100 characters; the address' first part if missing.
    pub name: Option<String>,
    /// Whether this is one of the people who run the server.
    pub is_operator: bool,
}

/// A user's own profile.
#[derive(Debug, Clone)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// The address.
    pub email: String,
    /// The name.
    pub name: String,
}

/// Makes a user. An address that is taken is no error, and takes as long: whoever asks does not learn whose addresses are known here.
/// Returns the id if the user is new.
///
/// # Errors
/// [`Error::Invalid`], or [`Error::Overloaded`] when too many passwords are being hashed.
pub async fn sign_up(cx: &Cx, new: NewUser) -> Result<Option<Uuid>> {
    let email = normal_email(&new.email);
    let name = new.name.unwrap_or_else(|| email.split('@').next().unwrap_or_default().chars().take(100).collect());
    Check::new().email("email", &email).text("name", &name, 1..=100).text("password", &new.password, 8..=256).finish()?;
    let hash = cx.plane.hasher.hash(new.password).await?;
    cx.write((email, name, hash, new.is_operator), |cx, tx, (email, name, hash, is_operator)| {
        Box::pin(async move {
            let id = cx.new_id()?;
            let statement = sql!(
                "INSERT INTO users (id, email, name, password_hash, is_operator, created_at) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (email) DO NOTHING"
            );
            let inserted = tx.execute(statement, params![id, email, name, hash, *is_operator, cx.now]).await?;
            Ok((inserted == 1).then_some(id))
        })
    })
    .await
}

/// The signed-in user.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::Forbidden`] for a key without the scope: one that was published must not tell who made it.
pub async fn me(cx: &Cx) -> Result<User> {
    let principal = cx.principal()?;
    principal.needs("read:user")?;
    cx.read(principal.user, |_, tx, id| {
        Box::pin(async move {
            let statement = sql!("SELECT id, email, name FROM users WHERE id = $1");
            let mut row = tx.query_opt(statement, params![*id]).await?.ok_or(Error::Unauthenticated)?;
            Ok(User { id: row.next()?, email: row.next()?, name: row.next()? })
        })
    })
    .await
}
