//! Deleting many customers at once: how many it is about is shown, a person confirms that number, and only then is it ordered.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value as Json, json};

use crate::client::call::Call;
use crate::client::changes::pairs;
use crate::client::connection::Connection;
use crate::client::deletions::watch;
use crate::client::failure::{Code, Failure, Result};
use crate::client::output::{OutputArgs, fields, note, report, text};
use crate::client::prompt::{confirm, will_ask};

/// Which customers to delete, and how.
#[derive(Args)]
pub(crate) struct PurgeArgs {
    /// Customers made before this, such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// Customers made at this time or later.
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Customers last changed before this.
    #[arg(long, value_name = "TIME")]
    updated_before: Option<String>,
    /// Customers under this member's management.
    #[arg(long, value_name = "MEMBER")]
    managed_by: Option<String>,
    /// Customers with an address of this domain.
    #[arg(long, value_name = "DOMAIN")]
    email_domain: Option<String>,
    /// Customers with this text among their metadata; of several, all must be there.
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Those who were softly deleted, in the place of those who are there.
    #[arg(long)]
    deleted: bool,
    /// All customers: what to say where nothing else is given.
    #[arg(long)]
    all: bool,
    /// The customers of this list and no others: a file with one id on each line.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["created_before", "created_after", "updated_before", "managed_by", "email_domain", "metadata", "deleted", "all"]
    )]
    csv: Option<PathBuf>,
    /// Delete them. Without this they are counted, and nothing is changed.
    #[arg(long)]
    force: bool,
    /// Confirms without asking: how many would be deleted, exactly.
    #[arg(long, value_name = "NUMBER", requires = "force")]
    yes: Option<String>,
    /// Why, for the audit trail. No personal data, please.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The organization's slug, where the organization asks for it.
    #[arg(long, value_name = "SLUG")]
    confirm: Option<String>,
    /// Wait until nothing is left, and show the receipt. The progress goes to standard error.
    #[arg(long, requires = "force")]
    wait: bool,
}

/// What stands in the way, as sentences.
fn for_people(mut plan: Json) -> Json {
    plan["blockers"] = plan["blockers"].as_array().into_iter().flatten().map(in_words).collect();
    plan
}

fn in_words(blocker: &Json) -> String {
    format!("{} {}", text(&blocker["detail"]), text(&blocker["remedy"]))
}

impl PurgeArgs {
    pub(crate) async fn run(&self, connection: &mut Connection, output: &OutputArgs, organization: &str) -> Result {
        let path = ["api", "organizations", organization, "customers:purge"];
        let call = match &self.csv {
            Some(file) => {
                let list =
                    std::fs::read(file).map_err(|error| Failure::usage(format!("The list {} cannot be read: {error}.", file.display())))?;
                Call::post_list(path, list)
            }
            None => Call::post(path, json!({"filter": self.filter()?})),
        };
        let call = call.with("reason", self.reason.as_deref()).with("confirm", self.confirm.as_deref());
        let plan = connection.ask(&call.clone().with("validate_only", Some("true"))).await?;
        if !self.force {
            return output.record(&if output.json { plan } else { for_people(plan) });
        }
        // Who lacks an approval is left out; all else is asked of the one who orders it.
        let missing = plan["blockers"].as_array().into_iter().flatten().filter(|blocker| blocker["code"] != "approval_required");
        let missing: Json = missing.cloned().collect();
        let is_blocked = missing.as_array().is_some_and(|missing| !missing.is_empty());
        let describe = if !is_blocked && will_ask(self.yes.as_deref()) { report } else { note };
        describe("To be deleted:");
        fields(&for_people(plan.clone())).into_iter().for_each(|line| describe(&format!("  {line}")));
        if is_blocked {
            return Err(Failure::blocked("They cannot be deleted now.", &missing));
        }
        if plan["complete"] == false {
            note("There may be more than were counted: not all customers were looked at.");
        }
        let count = text(&plan["count"]);
        confirm(std::slice::from_ref(&count), self.yes.as_deref())?;
        // What was confirmed is deleted, and nothing else if that changed meanwhile.
        let deletion = connection.delete(&call.with("force", Some("true")).with("count", Some(&count))).await?;
        if !self.wait {
            return output.record(&json!({"deletionId": deletion}));
        }
        let completed = watch(connection, &deletion).await.map_err(|failure| match failure.code {
            Code::ReaderGone => failure,
            _ => failure.with(&format!("It is ordered, and the deletion {deletion} goes on. Only its progress could not be read.")),
        })?;
        note(&format!("What became of each: freehold deletions items {deletion}"));
        output.record(&completed)
    }

    fn filter(&self) -> Result<Json> {
        let mut filter = Map::new();
        let texts = [
            ("createdBefore", &self.created_before),
            ("createdAfter", &self.created_after),
            ("updatedBefore", &self.updated_before),
            ("managedBy", &self.managed_by),
            ("emailDomain", &self.email_domain),
        ];
        filter.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Json::from(text.as_deref()?)))));
        filter.extend(pairs(&self.metadata)?.map(|metadata| ("metadata".to_owned(), metadata)));
        if self.deleted {
            filter.insert("state".into(), "deleted".into());
        }
        if self.all {
            filter.insert("all".into(), true.into());
        }
        match filter.is_empty() {
            true => Err(Failure::usage("Say which customers: name what they have in common, give a list with --csv, or say --all.")),
            false => Ok(Json::Object(filter)),
        }
    }
}
