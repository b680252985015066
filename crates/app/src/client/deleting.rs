//! Deleting by hand: what it is and what would become of it is shown, a person confirms that they mean it, and only then is it done.

use clap::Args;
use serde_json::{Value as Json, json};

use super::call::Call;
use super::connection::Connection;
use super::deletions::watch;
use super::failure::{Code, Failure, Result};
use super::output::{Column, OutputArgs, fields, note, report, table, text};
use super::prompt::{confirm, will_ask};

const COLUMNS: &[Column] = &[("TABLE", "table"), ("ROWS", "rows"), ("FATE", "fate"), ("WHY", "why")];

/// How to delete.
#[derive(Args)]
pub(crate) struct DeleteArgs {
    /// Confirms without asking: the slug or id of what is deleted, exactly.
    #[arg(long, value_name = "ID")]
    yes: Option<String>,
    /// Why, for the audit trail. No personal data, please.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The organization's slug, where the organization asks for it to be typed.
    #[arg(long, value_name = "SLUG")]
    confirm: Option<String>,
    /// Delete nothing: show what it would do, and the plan that a deletion can be bound to.
    #[arg(long, conflicts_with_all = ["yes", "wait", "plan"])]
    validate_only: bool,
    /// Delete only if it still does what this plan says, of --validate-only [default: the one that is shown before].
    #[arg(long, value_name = "PLAN")]
    plan: Option<String>,
    /// Wait until nothing is left, and show the receipt.
    #[arg(long)]
    wait: bool,
}

/// What is to be deleted.
pub(super) struct Subject<'a> {
    /// How the person named it.
    pub given: &'a str,
    /// The field of its record whose value confirms its deletion.
    pub name: &'static str,
    /// Asks for its record, so that people see what they delete.
    pub record: Call<'a>,
    /// Asks what would become of it.
    pub plan: Call<'a>,
    pub deletion: Call<'a>,
}

impl DeleteArgs {
    pub(super) async fn run(&self, connection: &mut Connection, output: &OutputArgs, subject: Subject<'_>) -> Result {
        let plan = connection.ask(&self.says(subject.plan.clone())).await?;
        let (record, tag) = subject.record(connection).await?;
        let is_blocked = plan["blockers"].as_array().is_some_and(|blockers| !blockers.is_empty());
        // Who is asked sees what about, even where a program reads the answer.
        let describe = if !self.validate_only && !is_blocked && will_ask(self.yes.as_deref()) { report } else { note };
        describe(&subject.describe(&record, &plan));
        if self.validate_only {
            return output.record(&plan);
        }
        if is_blocked {
            return Err(Failure::blocked("It cannot be deleted now.", &plan["blockers"]));
        }
        confirm(&subject.names(&record), self.yes.as_deref())?;
        // What was shown is what goes: if it has changed since, the server refuses.
        let plan = self.plan.as_deref().or(plan["plan"].as_str());
        let call = self.says(subject.deletion).with("plan", plan).unless_changed(tag);
        let deletion = connection.delete(&call).await?;
        if !self.wait {
            return output.record(&json!({"deletionId": deletion}));
        }
        let completed = watch(connection, &deletion).await.map_err(|failure| match failure.code {
            Code::ReaderGone => failure,
            _ => failure.with(&format!("It is deleted, and the deletion {deletion} goes on. Only its progress could not be read.")),
        })?;
        output.record(&completed)
    }
}

impl DeleteArgs {
    /// Deletes what has no plan: nothing else hangs on it, and nothing stands in its way.
    pub(super) async fn run_without_plan(
        &self,
        connection: &mut Connection,
        output: &OutputArgs,
        given: &str,
        deletion: Call<'_>,
    ) -> Result {
        if self.validate_only || self.plan.is_some() || self.wait || self.confirm.is_some() || self.reason.is_some() {
            return Err(Failure::usage("Its deletion has no plan, takes no reason and is done at once: only --yes goes with it."));
        }
        confirm(&[given.to_owned()], self.yes.as_deref())?;
        connection.tell(&deletion).await?;
        output.record(&json!({"id": given}))
    }

    /// With what is said along, which a deletion and its plan may be asked for.
    fn says<'a>(&self, call: Call<'a>) -> Call<'a> {
        call.with("reason", self.reason.as_deref()).with("confirm", self.confirm.as_deref())
    }
}

impl Subject<'_> {
    /// The record and its entity tag; null if there is none to be had, as for a customer who was softly deleted before.
    async fn record(&self, connection: &mut Connection) -> Result<(Json, Option<String>)> {
        match connection.ask_with_tag(&self.record).await {
            Err(failure) if failure.code == Code::NotFound => Ok((Json::Null, None)),
            outcome => outcome,
        }
    }

    fn describe(&self, record: &Json, plan: &Json) -> String {
        let mut lines = vec![format!("To be deleted: {}", self.given)];
        lines.extend(fields(record).into_iter().map(|line| format!("  {line}")));
        let tables = plan["tables"].as_array().map_or(&[][..], Vec::as_slice);
        let touched: Vec<Json> = tables.iter().filter(|table| table["rows"] != 0).cloned().collect();
        lines.push("What would become of what is there:".into());
        lines.extend(table(&touched, COLUMNS).into_iter().map(|line| format!("  {line}")));
        lines.push(format!("Keys, sessions and tokens that would stop working at once: {}", text(&plan["credentials"])));
        if plan["reversibleUntil"].is_string() {
            lines.push(format!("It could be taken back until {}, with freehold deletions restore.", text(&plan["reversibleUntil"])));
        }
        lines.join("\n")
    }

    /// The names that confirm the deletion, the one to ask for first.
    fn names(&self, record: &Json) -> Vec<String> {
        let mut names = vec![text(&record[self.name]), self.given.to_owned(), text(&record["id"])];
        names.retain(|name| !name.is_empty());
        names
    }
}
