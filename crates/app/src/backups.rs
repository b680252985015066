//! `freehold backup`, `restore` and `move`: everything into a file, back out of it, and from one engine to the other.

use std::path::Path;

use clap::Args;
use indicatif::ProgressBar;
use plane::storage::Place;
use plane::{DatabaseOptions, backups};

use crate::{DatabaseArgs, Outcome, say};

#[derive(Args)]
pub(crate) struct FileArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The backup: a file that is an embedded database itself, or such an object in a bucket, like s3://bucket/prefix/backup.db.
    #[arg(value_name = "FILE")]
    file: String,
}

#[derive(Args)]
pub(crate) struct MoveArgs {
    /// Where everything is: postgres://…, or sqlite: and the path of the file. No server may use it meanwhile.
    #[arg(long, value_name = "URL", hide_env_values = true)]
    from: String,
    /// Where it goes: a database that is empty or, if embedded, not there yet.
    #[arg(long, value_name = "URL", hide_env_values = true)]
    to: String,
    /// The schema of a PostgreSQL database that has the tables now.
    #[arg(long, value_name = "NAME")]
    from_schema: Option<String>,
    /// The schema of a PostgreSQL database that they go to. It is created.
    #[arg(long, value_name = "NAME")]
    to_schema: Option<String>,
}

pub(crate) async fn back_up(args: FileArgs) -> Outcome {
    let bar = ProgressBar::new_spinner();
    let tell = |table: &str, rows| bar.set_message(format!("{table} {rows}"));
    let contents = match Place::is_of_a_bucket(&args.file) {
        true => backups::back_up_to_bucket(&args.database.options(), &args.file, &tell).await,
        false => backups::back_up(&args.database.options(), Path::new(&args.file), &tell).await,
    };
    bar.finish_and_clear();
    say(&format!("Wrote {} rows into {}.", rows(&contents?), args.file));
    Ok(())
}

pub(crate) async fn restore(args: FileArgs) -> Outcome {
    let bar = ProgressBar::new_spinner();
    let mut options = args.database.options();
    options.may_begin_anew = true;
    let tell = |table: &str, rows| bar.set_message(format!("{table} {rows}"));
    let contents = match Place::is_of_a_bucket(&args.file) {
        true => backups::restore_from_bucket(&args.file, &options, &tell).await,
        false => backups::restore(Path::new(&args.file), &options, &tell).await,
    };
    bar.finish_and_clear();
    say(&format!(
        "Restored {} rows, and read them back. When the server starts with its ledger, what was deleted since the backup is deleted again.",
        rows(&contents?)
    ));
    Ok(())
}

pub(crate) async fn move_between(args: MoveArgs) -> Outcome {
    let bar = ProgressBar::new_spinner();
    let from = DatabaseOptions { schema: args.from_schema, ..DatabaseOptions::new(args.from) };
    let to = DatabaseOptions { schema: args.to_schema, ..DatabaseOptions::new(args.to) };
    let contents = backups::move_between(&from, &to, &|table, rows| bar.set_message(format!("{table} {rows}"))).await;
    bar.finish_and_clear();
    say(&format!("Moved {} rows, and read them back. The first database is as it was: start the server on the second.", rows(&contents?)));
    Ok(())
}

fn rows(contents: &backups::Contents) -> u64 {
    contents.values().map(|content| content.rows).sum()
}
