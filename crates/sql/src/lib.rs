//! One SQL text on two engines: embedded SQLite and PostgreSQL.
//!
//! This crate knows how to run statements and transactions, how to migrate a schema and how to read it back. It knows nothing of
//! organizations, customers or any other noun: those live in `plane`.

mod address;
mod connecting;
mod copying;
mod database;
mod error;
mod folders;
mod health;
mod hooks;
mod load;
mod log;
pub mod long_work;
mod migrate;
mod options;
mod outage;
mod postgres;
mod readers;
mod schema;
mod server_lock;
mod sqlite;
mod r#static;
mod survey;
mod value;

pub use copying::{Content, Contents, copy_file};
pub use database::{Database, Hold, Statement, Tx};
pub use error::{Error, HasDatabaseError};
pub use folders::{make_folder, sync_name};
pub use health::{Difference, Orphans};
pub use load::{Connections, Files, Load};
pub use migrate::Migration;
pub use options::Options;
pub use schema::{Column, ForeignKey, Index, Schema, Table};
pub use r#static::Static;
pub use value::{FromValue, Row, Value};

/// What every call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
