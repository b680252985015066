//! One SQL text on two engines: embedded SQLite and PostgreSQL.
//!
//! This crate knows how to run statements and transactions, how to migrate a schema and how to read it back. It knows nothing of
//! organizations, customers or any other noun: those live in `plane`.

mod database;
mod embedded;
mod error;
mod hooks;
mod load;
mod options;
mod outage;
mod row;
mod server;
mod r#static;
mod tx;
mod value;
mod whole;
mod words;

use whole::{copying, folders, health, migrate, schema};

use server::{address, connecting, postgres, server_lock, survey};

pub use embedded::long_work;
use embedded::{lock_file, log, readers, sqlite, sqlite_tx};

pub use copying::{Content, Contents, copy_file};
pub use database::{Database, Statement};
pub use error::{Error, HasDatabaseError};
pub use folders::{make_folder, sync_name};
pub use health::{Difference, Orphans};
pub use load::{Connections, Files, Load};
pub use migrate::Migration;
pub use options::Options;
pub use row::{FromRow, Record, Row, splice};
pub use schema::{Column, ForeignKey, Index, Schema, Table};
pub use r#static::Static;
pub use tx::{Hold, Tx};
pub use value::{FromValue, Value};

/// What every call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
