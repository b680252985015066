//! What goes row by row when it has had its time, a line each, and the statements that are made from these lines.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use jiff::Timestamp;
use sql::{FromRow, Statement, Tx, Value, params, sql};
use uuid::Uuid;

use super::Retention;
use crate::Result;
use crate::ids::SERVER_SCOPE;

/// Rows of one table that go with time.
struct Line {
    retention: Retention,
    table: &'static str,
    /// The column with which their time begins. It leads an index, before the id; a row in which it is NULL stays.
    since: &'static str,
    /// An SQL condition on those it is about; empty for all.
    only: &'static str,
    /// What the ids may be of that a legal hold is on which keeps a row: its columns, or what leads from these to a user. Empty for what no
    /// hold keeps.
    about: &'static [&'static str],
}

/// Every table of which rows go by themselves. A hold on an organization keeps all there is about it; one on a user what they did, and what was
/// done to them.
#[rustfmt::skip]
const LINES: &[Line] = &[
    Line { retention: Retention::Receipts, table: "deletions", since: "completed_at", only: "", about: &["organization_id", "subject_id", "actor_id", "(SELECT user_id FROM members WHERE members.organization_id = aged.organization_id AND members.id = aged.subject_id)"] },
    Line { retention: Retention::Receipts, table: "deletions", since: "restored_at", only: "", about: &["organization_id", "subject_id", "actor_id", "(SELECT user_id FROM members WHERE members.organization_id = aged.organization_id AND members.id = aged.subject_id)"] },
    // What a purge wrote down of each customer is part of its receipt.
    Line { retention: Retention::Receipts, table: "purge_items", since: "created_at", only: "", about: &["organization_id", "customer_id"] },
    Line { retention: Retention::Audit, table: "audit_entries", since: "created_at", only: "", about: &["organization_id", "subject_id", "actor_id", "(SELECT user_id FROM members WHERE members.organization_id = aged.organization_id AND members.id = aged.subject_id)"] },
    Line { retention: Retention::Holds, table: "holds", since: "released_at", only: "", about: &["organization_id", "subject_id"] },
    Line { retention: Retention::Holds, table: "holds", since: "until", only: "released_at IS NULL", about: &["organization_id", "subject_id"] },
    Line { retention: Retention::Invitations, table: "invitations", since: "expires_at", only: "", about: &["organization_id", "(SELECT user_id FROM members WHERE members.organization_id = aged.organization_id AND members.id = aged.invited_by)", "(SELECT users.id FROM users WHERE users.email_key = aged.email_key)"] },
    // What a deletion is still to count stays until it is completed.
    Line { retention: Retention::Deliveries, table: "effects", since: "finished_at", only: "state <> 'pending' AND (deletion_id IS NULL OR is_counted) AND (kind = 'webhook' OR state = 'delivered' OR is_given_up)", about: &["organization_id", "subject_id"] },
    Line { retention: Retention::Exports, table: "exports", since: "created_at", only: "state = 'expired'", about: &["organization_id", "subject_id", "actor_id"] },
    Line { retention: Retention::Exports, table: "exports", since: "created_at", only: "state = 'failed' AND deletion_id IS NULL", about: &["organization_id", "subject_id", "actor_id"] },
    // These open nothing any more and hold nothing worth reading: no hold keeps them, and the audit trail does not say that they went.
    Line { retention: Retention::Answers, table: "idempotent_answers", since: "created_at", only: "", about: &[] },
    Line { retention: Retention::Sessions, table: "sessions", since: "expires_at", only: "", about: &[] },
    Line { retention: Retention::Addresses, table: "client_addresses", since: "created_at", only: "", about: &[] },
    Line { retention: Retention::Approvals, table: "deletion_approvals", since: "expires_at", only: "", about: &["organization_id", "subject_id"] },
    Line { retention: Retention::Tokens, table: "oauth_tokens", since: "refresh_expires_at", only: "", about: &[] },
];

/// One line with its statements.
pub(crate) struct Sweep {
    pub(crate) retention: Retention,
    pub(crate) table: &'static str,
    /// Whether legal holds keep rows, and the audit trail says how many went.
    pub(super) is_evidence: bool,
    /// Whether some of them belong to no organization, and are about people who are there.
    is_of_people: bool,
    /// The next rows in the order of their age, each with its place, whether it is held, and which user or customer that would be about.
    find: Statement,
    erase: Statement,
    /// How many are overdue, and which.
    pub(crate) count: Statement,
    pub(crate) list: Statement,
    /// The row of the table at an offset.
    pub(super) reaches: Statement,
}

/// A place in a walk along the age of rows: the last row's age and id.
pub(super) type Place = (Timestamp, Uuid);

/// The rows of one sweep up to a place.
#[derive(Debug, Clone, Default)]
pub(super) struct Stretch {
    /// The last of them.
    pub(super) to: Place,
    /// Whether any of them is under no legal hold.
    pub(super) is_free: bool,
    /// The organizations that they are about, and the people where it is none.
    organizations: BTreeSet<Uuid>,
    people: BTreeSet<Uuid>,
}

impl Stretch {
    /// Touches what placing a legal hold on any of it touches: either the hold is found, or it finds what is left.
    pub(super) async fn lock(&self, tx: &mut Tx) -> Result<()> {
        let ids = |ids: &BTreeSet<Uuid>| ids.iter().copied().collect::<Vec<_>>();
        if !self.organizations.is_empty() {
            let organizations = sql!("UPDATE organizations SET version = version + 1 WHERE id = ANY($1)");
            tx.execute(organizations, params![ids(&self.organizations)]).await?;
        }
        if !self.people.is_empty() {
            let memberships = sql!("UPDATE members SET version = version + 1 WHERE user_id = ANY($1)");
            tx.execute(memberships, params![ids(&self.people)]).await?;
        }
        Ok(())
    }
}

/// Before all rows.
pub(super) const BEGINNING: Place = (Timestamp::UNIX_EPOCH, Uuid::nil());

pub(crate) fn sweeps() -> &'static [Sweep] {
    static SWEEPS: OnceLock<Vec<Sweep>> = OnceLock::new();
    SWEEPS.get_or_init(|| LINES.iter().map(Sweep::generate).collect())
}

impl Sweep {
    fn generate(line: &Line) -> Sweep {
        let Line { table, since, .. } = *line;
        let only = if line.only.is_empty() { String::new() } else { format!("{} AND ", line.only) };
        let is_evidence = !line.about.is_empty();
        let about: Vec<String> =
            line.about.iter().map(|what| if what.starts_with('(') { (*what).to_owned() } else { format!("aged.{what}") }).collect();
        // What belongs to no organization is kept by a hold on the user in any.
        let held = |now: usize, none: usize| {
            format!(
                "EXISTS (SELECT 1 FROM holds AS held
                         WHERE held.subject_id IN ({}) AND (held.organization_id = aged.organization_id OR aged.organization_id = ${none})
                           AND held.released_at IS NULL AND (held.until IS NULL OR held.until > ${now}))",
                about.join(", ")
            )
        };
        let unless_held = |now: usize, none: usize| if is_evidence { format!(" AND NOT {}", held(now, none)) } else { String::new() };
        let is_of_people = line.retention == Retention::Audit;
        let is_held = match is_evidence {
            true => format!(", CASE WHEN {} THEN 1 ELSE 0 END, organization_id", held(5, 6)),
            false => String::new(),
        };
        let people = if is_of_people { ", subject_id, actor_id" } else { "" };
        // The age alone, too: from it SQLite sees that no row is meant that an index of those with an age leaves out.
        let within = format!("{only}{since} <= $3 AND ({since}, id) > ($1, $2) AND ({since}, id) <= ($3, $4)");
        let overdue = format!("FROM {table} AS aged WHERE {only}{since} <= $1");
        let limit = if is_evidence { 4 } else { 2 };
        Sweep {
            retention: line.retention,
            table,
            is_evidence,
            is_of_people,
            find: Statement::generated(format!(
                "SELECT {since}, id{is_held}{people} FROM {table} AS aged
                 WHERE {only}({since}, id) > ($1, $2) AND {since} <= $3 ORDER BY {since}, id LIMIT $4"
            )),
            erase: Statement::generated(format!("DELETE FROM {table} AS aged WHERE {within}{}", unless_held(5, 6))),
            count: Statement::generated(format!("SELECT count(*) {overdue}{}", unless_held(2, 3))),
            reaches: Statement::generated(format!("SELECT 1 FROM {table} LIMIT 1 OFFSET $1")),
            list: Statement::generated(format!("SELECT id {overdue}{} ORDER BY {since}, id LIMIT ${limit}", unless_held(2, 3))),
        }
    }

    /// Looks at the next rows that have had their time; none when there are no more.
    pub(super) async fn look_ahead(
        &self,
        tx: &mut Tx,
        from: Place,
        limit: Timestamp,
        size: i64,
        now: Timestamp,
    ) -> Result<Option<Stretch>> {
        let bound = vec![Value::from(from.0), Value::from(from.1), Value::from(limit), Value::from(size)];
        let mut stretch = None;
        for row in tx.query(self.find, &self.with_hold(bound, now)).await? {
            let (place, evidence, people) = row.read_with(|row| {
                let place = FromRow::from_row(row)?;
                let evidence = self.is_evidence.then(|| <(i64, Uuid)>::from_row(row)).transpose()?;
                Ok::<_, sql::Error>((
                    place,
                    evidence,
                    self.is_of_people.then(|| <(Option<Uuid>, Option<Uuid>)>::from_row(row)).transpose()?,
                ))
            })?;
            let stretch = stretch.get_or_insert_with(|| Stretch { to: place, is_free: !self.is_evidence, ..Stretch::default() });
            stretch.to = place;
            if let Some((is_held, organization)) = evidence {
                stretch.is_free |= is_held == 0;
                stretch.organizations.insert(organization);
                if let Some((subject, actor)) = people.filter(|_| organization == SERVER_SCOPE) {
                    stretch.people.extend([subject, actor].into_iter().flatten());
                }
            }
        }
        Ok(stretch)
    }

    /// What erases the rows between two places that are under no hold.
    pub(super) fn erase(&self, from: Place, to: Place, now: Timestamp) -> (Statement, Vec<Value>) {
        (self.erase, self.with_hold(between(from, to), now))
    }

    /// The parameters of what counts those that began then or earlier, and with a number of what lists them.
    pub(crate) fn overdue(&self, limit: Timestamp, now: Timestamp, most: Option<i64>) -> Vec<Value> {
        let mut bound = self.with_hold(vec![limit.into()], now);
        bound.extend(most.map(Value::from));
        bound
    }

    fn with_hold(&self, mut bound: Vec<Value>, now: Timestamp) -> Vec<Value> {
        if self.is_evidence {
            bound.extend([Value::from(now), Value::from(SERVER_SCOPE)]);
        }
        bound
    }
}

fn between(from: Place, to: Place) -> Vec<Value> {
    vec![from.0.into(), from.1.into(), to.0.into(), to.1.into()]
}

/// Every statement that is generated here.
pub(super) fn statements() -> Vec<Statement> {
    sweeps().iter().flat_map(|sweep| [sweep.find, sweep.erase, sweep.count, sweep.list, sweep.reaches]).collect()
}
