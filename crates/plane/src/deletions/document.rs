//! `docs/deletion.md`, printed from the rules: a promise that people can check and that cannot differ from what the program does.

use deletion::{Fate, Kept, Rule};

use super::effects;
use crate::deletion_rules::{ARCHIVE, Root};
use crate::retention_periods::{Periods, Retention};

/// The whole page.
pub fn document() -> String {
    let mut page = String::from(INTRODUCTION);
    for root in Root::ALL {
        page.push_str(&format!("\n## {}\n\n", title(root)));
        page.push_str(&format!("Refused with 409 while: {}. ", root.definition().guards));
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
    page.push_str(&periods());
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
        Root::CustomerPurge => "Many customers at once",
    }
}

fn events(root: Root) -> String {
    effects::events(root).into_iter().map(|event| format!("`{}`", event.name())).collect::<Vec<_>>().join(", ")
}

fn fate(rule: &Rule) -> String {
    match rule.fate {
        Fate::Erase => "erased".into(),
        Fate::Keep => format!("kept{}", how_long(rule.kept)),
        Fate::Redact(columns) => {
            let columns: Vec<String> = columns.iter().map(|(column, literal)| format!("`{column}` becomes {literal}")).collect();
            format!("kept{}, {}", how_long(rule.kept), columns.join(", "))
        }
    }
}

fn how_long(kept: Kept) -> String {
    match kept {
        Kept::Unsaid | Kept::Alive => String::new(),
        Kept::For(ARCHIVE) => " until the archive expires".into(),
        Kept::For(name) => match Retention::parse(name) {
            Some(retention) => format!(" for {} (`{name}`)", Periods::default().words(retention)),
            None => String::new(),
        },
    }
}

/// How long everything is kept that is kept for a time.
fn periods() -> String {
    let mut page = String::from(RETENTION);
    for one in Retention::ALL {
        let days = Periods::default().words(one);
        page.push_str(&format!("| `{}` | {} | {days} | {} |\n", one.name(), one.what(), one.since()));
    }
    page
}

const RETENTION: &str = "
## How long what is kept is kept

What a rule keeps has its time, and so has data that no one deletes. A job of the server erases what has had it, the oldest first, in transactions of
a few milliseconds with rests between them; each round begins ten minutes after the last. The periods are set with `--retention NAME=DAYS` or
`FREEHOLD_RETENTION`; `forever` is never. `GET /api/retention` and `freehold retention` show them. Softly deleted customers end by the deletion for good above, ordered by the system as `customer.expire`,
with its guards, its receipt and its events; of everything else the audit trail says in one entry a round and table how many rows went
(`retention.erase`, for operators), but for answers, sessions and tokens, which hold nothing worth reading. What is under a legal hold stays as long as that lasts, and so do the audit trail and the receipts about it:
of the organization all, of a customer what is about them, of a user what they did and what was done to them. Who stays beyond their time,
because of a hold or because something of theirs is open, keeps no other: they are counted in `freehold_retention_overdue`, `freehold doctor`
names them, and each round asks again.

| name | what | kept for | since |
|---|---|---|---|
";

const INTRODUCTION: &str = "# What a deletion does

Printed from `crates/plane/src/kernel/deletion_rules.rs` by `cargo xtask bless`; a test fails when the two differ, and the server does not start on
a schema with a table or column that the rules do not know.

## What is promised, and how to check it

| promise | how to check it |
|---|---|
| No request that begins after the answer to a deletion is accepted with what opened the subject: keys, tokens, sessions. | Send one. |
| Everything that the tables below call erased goes, at any size, and is counted. | The receipt, `GET /api/deletions/{id}`, says how many rows of which table; `freehold doctor` looks for what a completed deletion left, row by row. |
| Nothing else goes, and no one else is touched. | The plan, `GET …/deletion-plan`, says before what would go; a DELETE with the plan's token does that or is refused. |
| What stays is in the tables below, with the reason and the time after which it goes too. | `keptUntil` in the plan; `GET /api/retention`. |
| Nothing is called completed before a sweep of its own has found nothing left and everybody who must be told was told or given up. | `state`, `conditions` and `effects` in the record; what cannot go on says what it waits for, since when, and what would let it. |
| A legal hold stops every deletion of what it is on, also one that is under way, and what would go by age, but for ended sessions and tokens, kept answers, and the archives of exports. | `GET …/holds`; the 409 names each hold. |
| Whatever was tried is in the audit trail: who, what, when, why, and what came of it. It holds no personal data of what is gone. | `GET …/audit`; for operators also after the organization is gone. |

## How it goes

A deletion goes through three states, unless a grace period comes before them. **Closed**: the subject is marked, cannot be found any more,
and every credential that depends on it is dead; this is durable before the answer goes out. **Draining**: rows are erased and redacted in short transactions, children first; a
stop or crash at any point is taken up again. **Completed**: a sweep that trusts nothing of the above found no row left; the subject's own row
is gone and the deletion's record says how many rows of which table were touched. A subject with up to 500 rows goes through all three in
one transaction.

Webhooks of the organization are told of the deletion, by events queued in the transaction that orders it. While there are such events the
completion waits until each is delivered or given up after its fourth attempt, and the record says how many of which; rows that hold nothing that
is to be told go before that. The webhooks of a deleted organization and their secrets live until then, and are told nothing else.

Each deletion has a plan: what the tables below would lose, with a sample of ids, what stays and why, the events that webhooks would be told,
everything that stands in the way at once, each with its remedy, and about how long it would take. It is answered by `GET …/deletion-plan`, and
by every DELETE with `?validate_only=true`. A DELETE with the plan's token (`?plan=`) does what the plan says or is refused with 412 and the
difference, table by table. Up to 500 rows of a table each row is recognized; of more their number is, as it was counted just before. Rows of
`audit_entries`, `client_addresses`, `deletions`, `effects`, `idempotent_answers`, `purge_items` and `sessions` come by themselves, those of `deletion_approvals` after
the plan that they approve: they are not held against it.

Exports (archives of what an organization or a customer owns) are made from these same rules: they hold the rows of every table named under
their root, whatever happens to those, without the columns that hold secrets. An export goes with its subject, row at once and file within
seconds. One that a deletion was ordered with (`?export=true`) does not: it was asked for to be there afterwards. It stays until it expires, 72 hours after it
was done unless the server is set otherwise, only for the one who ordered it, and then row and file are erased. Until it is done the deletion
that waits for it erases nothing; an export that fails is tried until it succeeds or the one who ordered it deletes it.

Where an organization grants a **grace period**, of up to 90 days by kind of subject (organization, member, customer), an order ends access at
once like any other, tells the webhooks, and does no more: the deletion is *reversible*. Until `reversibleUntil` owners, admins and operators take it back
with `POST /api/deletions/{id}/restore`; an organization its owners and operators, and an owner's membership those who may make owners, and
operators. Webhooks hear `deletion.restored`, with the id of what is there again; of an organization `organization.restored` as well. Then everything is there again as it was, but for what opened
it: API keys, OAuth tokens and sessions of it are erased, the secrets of its OAuth apps replaced, a customer's sessions and devices
erased. Names stay taken (an organization's slug, a customer's id, a membership) until the completion, and are free after it. When the period is over
the deletion goes on like any other, and cannot be taken back any more. There is none for keys, tokens, invitations, webhooks and apps, for
people who leave or delete their accounts, nor for what the server deletes by itself.

An **archive** is no deletion. An archived organization or customer is read-only and keeps everything but credentials: the API keys, OAuth tokens
and app secrets of an organization, the sessions and devices of a customer end when it is archived, and do not come back.

A **legal hold** on an organization, a customer or a user who is a member stops every deletion that would touch what it is on, also from
above: while anything in an organization is held, the organization is not deleted. A hold on the organization is one on every member, customer
and webhook in it. A deletion that was ordered before the hold erases nothing more as long as that is in force, and goes on by itself
afterwards; the answer that a hold is placed waits for what is just being erased, and nothing goes after it; histories of webhooks are not cut
meanwhile. What takes access away and nothing else (revoking keys and tokens, cancelling invitations, ending sessions) is never held up. A hold
ends when it is released, or at its time if it has one. Changes are no deletions: archive the organization as well if nothing may be changed.

An organization can **ask** something of those who delete it, a member or a customer (`…/deletion-requirements`): a reason, its slug typed
again, a sign-in within so many minutes, another owner's approval, each kind on its own. It is asked at the one place that every deletion
passes, so of all surfaces, credentials and programs alike, and what is missing is told with everything else that stands in the way. An
approval is given by an owner who has signed in, counts for 24 hours while they are an owner, for one deletion by another member, and is used up
in that deletion's transaction; the trail says whose it was. To ask for less, where a fresh sign-in or an approval was asked for, takes these, too.
Nothing is asked of the server itself, nor of people who leave, alone or with their account: leaving is a right. Of those who order a purge
everything but the approval is asked when they do; the approval of each customer when it is the customer's turn.

A **purge** is one deletion of many customers: those that meet criteria, or those of a list. Without `force` it only counts them, names a
hundred, and tells what the organization asks for and is missing; it looks at half a million customers and for ten seconds at the most, and says
whether that was all of them. An order with `?count=` deletes as many as were counted, or is refused. With it the drain orders the deletion of each customer, some in each of its transactions, with the customer's own guards, entry in
the audit trail and receipt; `GET …/deletions/{id}/items` says what became of each. One that is blocked, or is not there, is an outcome and
keeps no other. Customers that were made after the order are not taken, and of those that meet criteria none that no longer do when it is
their turn. The rights are those of the member who ordered it, as they were then. It is completed when none of the
deletions that it ordered is under way any more; where customers have a grace period that may be before they are erased. A purge has no grace
period of its own: each customer's own deletion, which the items name, is taken back on its own. `POST /api/deletions/{id}/stop` stops a
purge, for those who may order one and may read this one's record: from the answer on it deletes no other customer. Deletions that it has ordered go on to
their own end, or can be taken back in their grace period. A customer that it had not reached and who is still there is an item with the outcome
`stopped`; the record has `stoppedAt`, and is completed like any other.

Those who may read a deletion's record see which table it is at, how many rows are done, how many are ahead as far as that is known, and what
it waits for, since when, and what would let it go on. One that makes no progress for a minute, and not because of a legal hold, is *stuck*: it is counted in
`freehold_deletions_stuck`, and `freehold doctor` finds it. The doctor also holds every rule below against all completed deletions, and finds
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
  until it is cut off (two seconds after the last write, about every minute while writes go on, and at a stop), and backups for as long as they are kept.
- A backup that is put back is the state of its time. With its ledger, what was deleted since is deleted again before it is served, and the receipts are
  there. Without one (`--ledger none`, or one that does not reach back) it is all there again: webhooks that were told of those deletions
  (`deletion.completed`) and the server's log know which ones to order again.
- A plan does not see one row of a table with more than 500 in the place of another, nor what is added to a large table, or on PostgreSQL to
  an organization, in the very moment in which the deletion begins.
- An owner can make others owners, and so a person who would approve. The audit trail shows who became an owner, when, and who did it.
- What was answered to a request with an Idempotency-Key is kept for 24 hours (`answers`), sealed so that only its sender can have it again. The
  deletion of the organization erases it; what it told of a customer who is deleted meanwhile stays until then.
- Outside the database only the organization's webhooks are told about a deletion yet: no subscription is cancelled at Stripe, no mail
  is sent. A deletion waits for webhooks for an hour (`--completion-wait`) and is completed then; what they have not taken is tried for three
  days and can be sent again. The webhooks of an organization go with it, and what they have not taken by then is lost.
- The criteria of a purge, such as a domain or texts of metadata, are kept as they were given until it is completed.
- What was delivered to a webhook is in the hands of its receiver. It holds ids, and a customer's id is what its maker chose.
- An export of an organization that was made before one of its customers was deleted holds that customer until it expires or is deleted.
- What was downloaded is in the hands of those who downloaded it. The file on the server's disk is unlinked, not overwritten.
- An invitation keeps the address it was sent to for its time, also when the person has deleted their account since.
- A user who deletes their account while an organization they are in is in its grace period waits, signed out everywhere, until that is over:
  the account's row goes with the last membership.
- No hold is placed on an organization, a member, or a customer deleted for good while they are in their grace period: take them back, then
  hold them; or hold the organization, which stops what is deleted in it, too. A customer that is softly deleted can be held.
- A grace period is made shorter by any owner at once, unless a fresh sign-in or an approval is asked for the same kind. What was ordered
  before keeps its time.
- Where approvals are asked for and one owner is left, that owner makes another member an owner first, or nothing of the kind is deleted.
- A user who is a member of more than 500 organizations has to leave some of them before they can delete their account.
";
