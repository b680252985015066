//! Every rule of Freehold: who people are, what they own, who may do what, and what becomes of it all when it is deleted.
//!
//! No HTTP and no HTML: `web` translates into calls of this crate and back. One noun is one file that holds its record, its SQL and its
//! operations. `policy.rs` is the only place that decides who may do what, `deletion/rules.rs` the only place that decides what a
//! deletion does to a table.

pub mod access;
pub mod api_keys;
pub mod approvals;
pub mod attempts;
pub mod audit;
mod authority;
mod backfill;
pub mod backups;
pub mod clocks;
pub mod credentials;
pub mod customers;
pub mod cx;
pub mod deletion;
pub mod deliveries;
pub mod dependants;
pub mod destinations;
pub mod doctor;
pub mod encryption;
mod error;
pub mod events;
pub mod exports;
mod fairness;
pub mod fields;
mod guessable;
pub mod holds;
pub mod idempotency;
pub mod ids;
mod inserts;
pub mod invitations;
pub mod jobs;
pub mod ledger;
mod liveness;
mod makers;
pub mod members;
pub mod normal_forms;
pub mod oauth_apps;
pub mod oauth_tokens;
pub mod organization_limits;
pub mod organizations;
pub mod page;
mod passwords;
pub mod payloads;
mod plane;
pub mod policy;
pub mod preferences;
pub mod purges;
pub mod quotas;
pub mod recovery;
pub mod requirements;
pub mod retention;
pub mod revisions;
pub mod search;
pub mod sessions;
pub mod signing_keys;
mod standing;
pub mod storage;
pub mod tokens;
pub mod upkeep;
mod usage;
pub mod users;
pub mod vitals;
pub mod webhooks;
pub mod wire;

pub use cx::{Clock, Cx};
pub use error::{Error, FieldError, FieldErrors, OauthRefusal, Result, clipped};
pub use plane::{Config, MIGRATIONS, Plane};
/// Why the database failed.
pub use sql::Error as StorageError;
/// Where the data is.
pub use sql::Options as DatabaseOptions;
pub use sql::{Connections, Files, Load};
