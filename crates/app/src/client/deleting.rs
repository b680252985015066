//! Deleting by hand: the plan is shown, somebody confirms that this is what they mean, and only then is it done.

use clap::Args;
use serde_json::{Value as Json, json};

use super::connection::{Call, Connection};
use super::deletions::watch;
use super::failure::{Code, Failure, Result, blockers};
use super::output::{OutputArgs, label, note, text};
use super::prompt::confirm;

/// How to delete.
#[derive(Args)]
pub(crate) struct DeleteArgs {
    /// Confirms without asking: the slug or id of what is deleted, exactly.
    #[arg(long, value_name = "ID")]
    yes: Option<String>,
    /// Why, for the audit trail. No personal data, please.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Wait until nothing is left, and show the receipt.
    #[arg(long)]
    wait: bool,
}

/// What is to be deleted.
pub(super) struct Subject<'a> {
    /// Asks what would be done.
    pub plan: Call<'a>,
    /// Does it.
    pub deletion: Call<'a>,
    /// How the person named it.
    pub given: &'a str,
}

impl DeleteArgs {
    pub(super) async fn run(&self, connection: &mut Connection, output: &OutputArgs, subject: Subject<'_>) -> Result {
        let plan = connection.ask(&subject.plan).await?;
        note(&describe(&plan).join("\n"));
        let blockers = blockers(&plan);
        if !blockers.is_empty() {
            return Err(Failure::new(Code::Conflict, format!("It cannot be deleted now.\n{}", blockers.join("\n"))));
        }
        confirm(&names(&plan, subject.given), self.yes.as_deref())?;
        let deletion = connection.delete(&subject.deletion.with("reason", self.reason.as_deref())).await?;
        if !self.wait {
            return output.record(&json!({"deletionId": deletion}));
        }
        let sealed = watch(connection, &deletion).await.map_err(|failure| match failure.code {
            Code::ReaderGone => failure,
            _ => failure.with(&format!("Access has ended and the deletion {deletion} goes on; only its progress could not be read.")),
        })?;
        output.record(&sealed)
    }
}

/// The names that confirm a deletion: the slug, how the person named it, the id.
fn names(plan: &Json, given: &str) -> Vec<String> {
    let subject = &plan["subject"];
    let known = [&subject["slug"], &subject["label"], &subject["id"]].map(text);
    let [slug, name, id] = known;
    let mut names: Vec<String> = vec![slug, name, given.to_owned(), id];
    names.retain(|name| !name.is_empty());
    names
}

/// The plan for people.
fn describe(plan: &Json) -> Vec<String> {
    let mut lines = vec![format!("To be deleted: {}", text(&plan["subject"]))];
    for (table, rows) in plan["counts"].as_object().into_iter().flatten() {
        lines.push(format!("  {} {}", text(rows), label(table)));
    }
    for rule in plan["rules"].as_array().into_iter().flatten() {
        lines.push(format!("  {} {}: {}", label(&text(&rule["table"])), text(&rule["action"]), text(&rule["why"])));
    }
    lines
}
