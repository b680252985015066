//! What the ledger says that its database may not know.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value as Json;
use uuid::Uuid;

use super::Known;
use crate::ledger::folder::{Folder, Line};
use crate::ledger::{Credential, Entry, TakenBack};
use crate::requirement_terms::ByKind;
use crate::{Error, Result};

/// What the ledger says beside the deletions that were ordered: of each the last word.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The first and the last number of its lines.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) beat: i64,
    /// Deletions that it knows of.
    pub(super) orders: HashSet<Uuid>,
    /// Deletions that it knows to have been taken back.
    pub(super) taken_back: HashSet<Uuid>,
    pub(super) holds: HashMap<Uuid, (Timestamp, Hold)>,
    pub(super) accepted: Vec<(Uuid, Uuid)>,
    pub(super) completed: HashMap<Uuid, (Json, Timestamp)>,
    pub(super) restored: HashMap<Uuid, TakenBack>,
    pub(super) stopped: Vec<Uuid>,
    pub(super) removed: Vec<(String, (Uuid, Uuid, Uuid))>,
    pub(super) changed: HashMap<(Credential, Uuid), (Option<Uuid>, String, i64)>,
    pub(super) roles: HashMap<Uuid, (Uuid, String, i64)>,
    pub(super) operators: HashMap<Uuid, (bool, i64)>,
    pub(super) archived: HashMap<Uuid, (bool, i64)>,
    pub(super) customers: HashMap<(Uuid, Uuid), CustomerState>,
    pub(super) asked: HashMap<Uuid, (ByKind, i64)>,
    /// Deletions that it knows to have been completed.
    pub(super) told_completed: HashSet<Uuid>,
    /// Lines of the table that the files have.
    pub(super) written: Vec<Uuid>,
    /// Lines of the table that they have not.
    pub(super) unwritten: Vec<(Uuid, Timestamp, Entry)>,
}

/// A legal hold: its organization, the kind of its subject, the subject, and its end.
pub(super) type Hold = (Uuid, String, Uuid, Option<Timestamp>);

/// Who manages a customer, and whether it is archived.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CustomerState {
    pub(super) managed_by: Option<Uuid>,
    pub(super) is_archived: bool,
    pub(super) revision: i64,
    /// Whether it was meanwhile: its sessions and devices have ended then.
    pub(super) was_archived: bool,
}

/// Reads what is new to the database, and what was written since. `kept` are the lines in its table.
///
/// # Errors
/// [`Error::Malformed`] when lines are missing or cannot be read.
pub(super) fn survey(folder: &Folder, known: Known, since: Timestamp, kept: Vec<(Uuid, Timestamp, Entry)>) -> Result<Survey> {
    let (first, last) = folder.bounds();
    let mut survey = Survey { first, last, ..Survey::default() };
    let mut kept: BTreeMap<Uuid, (Timestamp, Entry)> = kept.into_iter().map(|(id, at, entry)| (id, (at, entry))).collect();
    let mut previous: Option<u64> = None;
    for line in folder.lines(known.position + 1, since) {
        let Line { n, at, id, entry, .. } = line?;
        if previous.is_some_and(|previous| n > previous + 1) {
            let words = "lines of the ledger are missing before line";
            return Err(Error::Malformed(format!("{words} {n}: put the file back that has them, or start once with --ledger none")));
        }
        previous = Some(n);
        survey.last = n;
        if let Some(id) = id.filter(|id| kept.remove(id).is_some()) {
            survey.written.push(id);
        }
        survey.take(n > known.position, at >= since, at, entry);
    }
    // What they tell of is true in the database that keeps them, and may be older than lines that the files have: it is not done again.
    survey.unwritten = kept.into_iter().map(|(id, (at, entry))| (id, at, entry)).collect();
    Ok(survey)
}

impl Survey {
    /// Takes a line in: one that is new to the database, or one that was written since the time from which on its records are looked through.
    fn take(&mut self, is_new: bool, is_recent: bool, at: Timestamp, entry: Entry) {
        match entry {
            Entry::Ordered(order) if is_new || is_recent => {
                self.orders.insert(order.deletion);
                self.told_completed.extend(order.counts.map(|_| order.deletion));
            }
            Entry::Restored(taken_back) if is_new || is_recent => {
                self.taken_back.insert(taken_back.deletion);
                if is_new {
                    self.restored.insert(taken_back.deletion, taken_back);
                }
            }
            Entry::Completed { deletion, .. } if is_recent && !is_new => {
                self.told_completed.insert(deletion);
            }
            Entry::Beat { beat } => self.beat = self.beat.max(beat),
            _ if !is_new => {}
            Entry::Ordered(_) | Entry::Restored(_) => {}
            Entry::Held { organization, hold, subject, subject_id, until } => {
                self.holds.insert(hold, (at, (organization, subject, subject_id, until)));
            }
            Entry::Released { hold } => {
                self.holds.remove(&hold);
            }
            Entry::Accepted { organization, invitation } => self.accepted.push((organization, invitation)),
            Entry::Completed { deletion, counts } => {
                // It was not taken back after all.
                self.restored.remove(&deletion);
                self.told_completed.insert(deletion);
                self.completed.insert(deletion, (counts, at));
            }
            Entry::Stopped { deletion } => self.stopped.push(deletion),
            Entry::Removed { organization, customer, kind, id } => self.removed.push((kind, (organization, customer, id))),
            Entry::Changed { credential, organization, id, digest, revision } => {
                let last = self.changed.entry((credential, id)).or_insert((organization, String::new(), revision));
                if revision >= last.2 {
                    *last = (organization, digest, revision);
                }
            }
            Entry::Role { organization, member, role, revision } => {
                let last = self.roles.entry(member).or_insert((organization, String::new(), -1));
                if revision >= last.2 {
                    *last = (organization, role, revision);
                }
            }
            Entry::Operator { user, is_operator, revision } => {
                let last = self.operators.entry(user).or_insert((is_operator, revision));
                if revision >= last.1 {
                    *last = (is_operator, revision);
                }
            }
            Entry::Archived { organization, is_archived, revision } => {
                let last = self.archived.entry(organization).or_insert((is_archived, -1));
                if revision >= last.1 {
                    *last = (is_archived, revision);
                }
            }
            Entry::Customer { organization, customer, managed_by, is_archived, revision } => {
                let last = self.customers.entry((organization, customer)).or_default();
                last.was_archived |= is_archived;
                if revision >= last.revision {
                    *last = CustomerState { managed_by, is_archived, revision, was_archived: last.was_archived };
                }
            }
            Entry::Asked { organization, by_kind, revision } => {
                let last = self.asked.entry(organization).or_insert((by_kind, revision));
                if revision >= last.1 {
                    *last = (by_kind, revision);
                }
            }
        }
    }
}
