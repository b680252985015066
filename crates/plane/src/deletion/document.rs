//! `docs/deletion.md`, printed from the rules: a promise that people can check and that cannot differ from what the program does.

use super::effects;
use super::rules::{Fate, Root, Rule};

/// The whole page.
pub fn document() -> String {
    let mut page = String::from(INTRODUCTION);
    for root in Root::ALL {
        page.push_str(&format!("\n## {}\n\n", title(root)));
        page.push_str(&format!("Refused with 409 while: {}. ", root.guards()));
        page.push_str(&match root {
            Root::User => "It is in no organization: what webhooks are told is the end of each membership.\n\n".to_owned(),
            _ => format!("Tells the organization's webhooks: {}.\n\n", events(root)),
        });
        page.push_str("| table | what happens | why |\n|---|---|---|\n");
        for rule in root.rules() {
            let only = if rule.only.is_empty() { String::new() } else { format!(" where `{}`", rule.only) };
            page.push_str(&format!("| `{}`{only} | {} | {} |\n", rule.table, fate(rule), rule.why));
        }
    }
    page.push_str(LIMITATIONS);
    page
}

fn title(root: Root) -> &'static str {
    match root {
        Root::Organization => "An organization",
        Root::Member => "A member",
        Root::Customer => "A customer, for good",
        Root::RetiredCustomer => "A customer, softly",
        Root::ApiKey => "An API key",
        Root::Invitation => "An invitation",
        Root::Webhook => "A webhook",
        Root::OauthApp => "An OAuth app",
        Root::OauthToken => "An OAuth token",
        Root::User => "A user's account",
    }
}

fn events(root: Root) -> String {
    effects::events(root).into_iter().map(|event| format!("`{}`", event.name())).collect::<Vec<_>>().join(", ")
}

fn fate(rule: &Rule) -> String {
    match rule.fate {
        Fate::Erase => "erased".into(),
        Fate::Keep => "kept".into(),
        Fate::Redact(columns) => {
            let columns: Vec<String> = columns.iter().map(|(column, literal)| format!("`{column}` becomes {literal}")).collect();
            format!("kept, {}", columns.join(", "))
        }
    }
}

const INTRODUCTION: &str = "# What a deletion does

Printed from `crates/plane/src/deletion/rules.rs` by `cargo xtask bless`; a test fails when the two differ, and the server does not start on
a schema with a table or column that the rules do not know.

A deletion goes through three states. **Closed**: the subject is marked, cannot be found any more, and every credential that depends on it
is dead; this is durable before the answer goes out. **Draining**: rows are erased and redacted in short transactions, children first; a
stop or crash at any point is taken up again. **Sealed**: a sweep that trusts nothing of the above found no row left; the subject's own row
is gone and the deletion's record says how many rows of which table were touched. A subject with up to 500 rows goes through all three in
one transaction.

Webhooks of the organization are told of the deletion, by events queued in the transaction that orders it. While there are such events the
seal waits until each is delivered or given up after its fourth attempt, and the record says how many of which; rows that hold nothing that
is to be told go before that. The webhooks of a deleted organization and their secrets live until then, and are told nothing else.

Each deletion has a plan: what the tables below would lose, with a sample of ids, what stays and why, the events that webhooks would be told,
everything that stands in the way at once, each with its remedy, and about how long it would take. It is answered by `GET …/deletion-plan`, and
by every DELETE with `?validate_only=true`. A DELETE with the plan's token (`?plan=`) does what the plan says or is refused with 412 and the
difference, table by table. Up to 500 rows of a table each row is recognized; of more their number is, as it was counted just before. Rows of
`audit_entries`, `deletions`, `webhook_deliveries`, `idempotent_answers` and `sessions` come by themselves, those of `deletion_approvals` after
the plan that they approve: they are not held against it.

Exports (archives of what an organization or a customer owns) are made from these same rules: they hold the rows of every table named under
their root, whatever happens to those, without the columns that hold secrets. An export goes with its subject, row at once and file within
seconds. One that a deletion was ordered with (`?export=true`) does not: it was asked for to be there afterwards. It stays until it expires, 72 hours after it
was done unless the server is set otherwise, for nobody but whoever ordered it, and then row and file are erased. Until it is done the deletion
that waits for it erases nothing; an export that fails is tried until it succeeds or whoever ordered it deletes it.

A **legal hold** on an organization, a customer or a user who is a member stops every deletion that would touch what it is on, also from
above: while anything in an organization is held, the organization is not deleted. A hold on the organization is one on every member, customer
and webhook in it. A deletion that was ordered before the hold erases nothing more as long as that is in force, and goes on by itself
afterwards; histories of webhooks are not cut meanwhile. What takes access away and nothing else (revoking keys and tokens, cancelling
invitations, ending sessions) is never held up. A hold ends when it is released, or at its time if it has one. Changes are no deletions: archive
the organization as well if nothing may be changed.

Whoever may read a deletion's record sees which table it is at, how many rows are done, how many are ahead as far as that is known, and what
it waits for, since when, and what would let it go on. One that makes no progress for a minute, and not because of a legal hold, is *stuck*: it is counted in
`freehold_deletions_stuck`, and `freehold doctor` finds it. The doctor also holds every rule below against all sealed deletions, and finds
what they left.

Every attempt is in the audit trail, refused ones too. An attempt without a good credential (401) has no actor and no organization to be
filed under: it is in the server's log.
";

const LIMITATIONS: &str = "
## Known limitations

- The reason that an actor gives is kept as written, for as long as the audit trail is. Do not put personal data into it.
- Parties that verify access tokens on their own, by signature alone, accept them until they expire (15 minutes by default).
- PostgreSQL keeps the bytes of deleted rows in its heap until VACUUM and reuse, in its write-ahead log until that is recycled, and in
  every backup taken before. SQLite is run with `secure_delete`: deleted bytes are overwritten in the file; the write-ahead log holds them
  until the next checkpoint, and backups for as long as they are kept.
- A plan does not see one row of a table with more than 500 in the place of another, nor what is added to a large table, or on PostgreSQL to
  an organization, in the very moment in which the deletion begins.
- What was answered to a request with an Idempotency-Key is kept for 24 hours, sealed so that only its sender can have it again. The
  deletion of the organization erases it; what it told of a customer who is deleted meanwhile stays until the day is over.
- Softly deleted customers are kept until somebody hard-deletes them: there is no retention period yet.
- Outside the database nobody but the organization's webhooks is told about a deletion yet: no subscription is cancelled at Stripe, no mail
  is sent. A webhook that fails all four attempts, about 36 seconds and four times up to 10 seconds for an answer, is not told any more.
- What was delivered to a webhook is in the hands of whoever received it. It holds ids, and a customer's id is what its maker chose.
- An export of an organization that was made before one of its customers was deleted holds that customer until it expires or is deleted.
- What was downloaded is in the hands of whoever downloaded it. The file on the server's disk is unlinked, not overwritten.
- An invitation keeps the address it was sent to until its organization is deleted, also when the person has deleted their account since.
- Somebody who is a member of more than 500 organizations has to leave some of them before they can delete their account.
";
