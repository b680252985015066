//! Every rule of Freehold: who people are, what they own, who may do what, and what becomes of it all when it is deleted.
//!
//! No HTTP and no HTML: `web` translates into calls of this crate and back. The folders are layers, each of which uses itself and those before it:
//! `kernel`, `deletions`, `nouns`, `work`, `doctor`. One noun is one file or folder that holds its record, its SQL and its operations.
//! `policy.rs` is the only place that decides who may do what, `deletion_rules.rs` the only place that decides what a deletion does to a
//! table.

mod kernel;
mod nouns;
mod work;

pub mod deletions;
pub mod doctor;

pub use kernel::rights::{access, policy, quotas};
pub(crate) use kernel::rights::{authority, fairness, known_limits, locks, makers, principal, requirement_terms, standing};
pub(crate) use kernel::secrets::tokens;
pub use kernel::secrets::{attempts, credentials, encryption, signing_keys};
pub(crate) use kernel::secrets::{credential_cache, guessable, key_format, key_terms, passwords, usage};
pub(crate) use kernel::text::hex;
pub use kernel::text::{destinations, fields, ids, normal_forms, page, revisions, wire};
pub use kernel::trail::{audit, events, ledger, payloads, subscription_steps};
pub(crate) use kernel::trail::{audit_actions, notify, ownership};
pub(crate) use kernel::{backfill, error, memory, plane, retention_periods, user};
pub use kernel::{cx, deletion_rules, jobs, storage};
pub use nouns::keys::{api_keys, oauth_apps, oauth_tokens, signing_key_rotation};
pub use nouns::organization::{approvals, billing, holds, organization_limits, organizations, recovery, requirements, search, webhooks};
pub use nouns::people::{invitations, members, preferences, sessions, users};
pub use nouns::{customers, dependants};
pub use work::outbox::deliveries;
pub use work::{backups, clocks, drain, exports, idempotency, maintenance, metrics, outbox, plans, purges, retention};
pub(crate) use work::{ledger_replay, orphans};

pub use cx::Cx;
pub use deletion::{Clock, Stopwatch, random};
pub use error::{Error, FieldError, FieldErrors, OauthRefusal, Result, clipped};
pub use plane::{Config, MIGRATIONS, Plane, StripeAccount};
/// Why the database failed.
pub use sql::Error as StorageError;
/// Where the data is.
pub use sql::Options as DatabaseOptions;
pub use sql::{Connections, Files, Load};
