//! Parents with all that hangs on them, a handful at a time. Where little hangs on each, the foreign keys take the children along with their
//! parent; erasing the children first and then looking for them again under every parent costs up to twice as much. Where much hangs on
//! one, it is passed over: the steps table by table, which no transaction is too short for, find it afterwards.

use sql::{Schema, Statement, Tx, params};
use uuid::Uuid;

use super::abreast::Teller;
use super::rules::{Fate, Root, Rule, TABLES};
use super::statements::{matching, tied};
use crate::Result;

/// A parent table and the tables whose rows go with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kin {
    /// The parents.
    pub(super) parents: &'static str,
    /// The column in which each child names its parent.
    pub(super) by: &'static str,
}

/// Tables whose rows others hang on.
pub(super) const PARENTS: [Kin; 4] = [
    Kin { parents: "members", by: "member_id" },
    Kin { parents: "oauth_apps", by: "app_id" },
    Kin { parents: "customers", by: "customer_id" },
    Kin { parents: "webhooks", by: "webhook_id" },
];

/// The tables that go before their parents under a root.
pub(super) fn children(root: Root, kin: Kin) -> impl Iterator<Item = &'static str> {
    let rules = root.rules();
    let place = rules.iter().position(|rule| rule.table == kin.parents && rule.fate == Fate::Erase).unwrap_or(0);
    rules[..place].iter().filter(move |rule| rule.fate == Fate::Erase && has_column(rule.table, kin.by)).map(|rule| rule.table)
}

fn has_column(table: &str, column: &str) -> bool {
    TABLES.iter().any(|known| known.name == table && known.columns.iter().any(|(name, _)| *name == column))
}

/// The statements about rows on which others hang, whose own steps went before.
///
/// On PostgreSQL another transaction, not visible yet, may be hanging something on a row. It would go with the row, uncounted. So the row
/// is locked first, which waits for that transaction and keeps others away, and then looked at again.
#[derive(Debug)]
pub(super) struct Parents {
    /// The tables of what hangs on them.
    pub(super) children: Vec<&'static str>,
    /// Locks the rows of several subjects.
    pub(super) claim_all: Statement,
    /// Locks the rows of a batch.
    pub(super) claim: Statement,
    /// Whether something hangs on one of them.
    pub(super) is_overtaken: Statement,
}

/// The statements about families of one root.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) parents: &'static str,
    children: Vec<&'static str>,
    /// The parent so many places after another.
    bound: Statement,
    /// Rows of each child table between two parents, each counted up to a limit.
    count: Statement,
    erase: Statement,
    /// How many of the root's steps are done when all families are gone.
    pub(super) steps: usize,
}

/// What a batch of families came to.
#[derive(Debug)]
pub(super) struct Batch {
    /// Rows that went, by table.
    pub(super) touched: Vec<(&'static str, i64)>,
    /// The last parent that was looked at.
    pub(super) last: Uuid,
    /// Whether it is still there: so much hangs on it.
    pub(super) is_passed_over: bool,
    /// Whether there was none after it.
    pub(super) is_end: bool,
}

/// Rows for which one parent is tried. What they really come to is counted before they are erased.
const EACH: i64 = 16;
/// Rows of a family that goes in one transaction however few rows are asked for.
pub const SMALL_FAMILY: i64 = 200;

impl Families {
    /// None for a root without families.
    pub(super) fn generate(root: Root, steps: &[&Rule]) -> Option<Families> {
        let Kin { parents, by } = root.kin()?;
        let place = steps.iter().position(|rule| rule.table == parents)?;
        let children: Vec<&str> = steps[..place].iter().filter(|rule| is_child(rule, by)).map(|rule| rule.table).collect();
        let counts: Vec<String> = children
            .iter()
            .map(|child| {
                let between = format!("organization_id = $1 AND {by} > $2 AND {by} <= $3");
                format!("(SELECT count(*) FROM (SELECT 1 FROM {child} WHERE {between} LIMIT $4) AS limited)")
            })
            .collect();
        Some(Families {
            parents,
            // This waits for transactions that add to one of these parents. Later ones find them gone.
            bound: Statement::generated(format!(
                "SELECT id FROM {parents} WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE"
            )),
            count: Statement::generated(format!("SELECT {}", counts.join(", "))),
            erase: Statement::generated(format!("DELETE FROM {parents} WHERE organization_id = $1 AND id > $2 AND id <= $3")),
            children,
            steps: place + 1,
        })
    }

    /// Erases families that come after a parent, up to so many rows. Returns nothing when there are none. Before it erases, it tells with
    /// which parent it will end, if there are more.
    pub(super) async fn advance(
        &self,
        tx: &mut Tx,
        organization: Uuid,
        after: Uuid,
        rows: i64,
        teller: Option<&Teller>,
    ) -> Result<Option<Batch>> {
        let (most, parents_asked) = (rows.max(SMALL_FAMILY), (rows / EACH).max(1));
        let mut parents: Vec<Uuid> = Vec::new();
        for mut row in tx.query(self.bound, params![organization, after, parents_asked]).await? {
            parents.push(row.next()?);
        }
        let mut is_end = (parents.len() as i64) < parents_asked;
        while let Some(last) = parents.last().copied() {
            let mut answer = tx.query_one(self.count, params![organization, after, last, most + 1]).await?;
            let counts = self.children.iter().map(|_| Ok(answer.next()?)).collect::<Result<Vec<i64>>>()?;
            let is_small = counts.iter().sum::<i64>() + parents.len() as i64 <= most;
            if !is_small && parents.len() > 1 {
                parents.truncate(parents.len() / 2);
                is_end = false;
                continue;
            }
            if let Some(teller) = teller.filter(|_| !is_end) {
                teller.tell(last);
            }
            let mut touched = Vec::new();
            if is_small {
                let gone = tx.execute(self.erase, params![organization, after, last]).await?;
                touched.extend(self.children.iter().copied().zip(counts));
                touched.push((self.parents, i64::try_from(gone).unwrap_or(i64::MAX)));
            }
            return Ok(Some(Batch { touched, last, is_passed_over: !is_small, is_end }));
        }
        Ok(None)
    }

    pub(super) fn statements(&self) -> [Statement; 3] {
        [self.bound, self.count, self.erase]
    }
}

impl Parents {
    /// None where nothing hangs on these rows. They are walked along by their ids.
    pub(super) fn generate(root: Root, rule: &Rule, kin: Kin) -> Option<Parents> {
        let (table, ties, walk, first) = (rule.table, tied(rule), rule.walk.join(", "), rule.by.len() + 1);
        let of_children: Vec<String> = children(root, kin)
            .filter_map(|child| root.rules().iter().find(|rule| rule.table == child))
            .map(|child| {
                format!("SELECT 1 FROM {} WHERE {} AND {by} > ${first} AND {by} <= ${}", child.table, tied(child), first + 1, by = kin.by)
            })
            .collect();
        (!of_children.is_empty()).then(|| Parents {
            children: children(root, kin).collect(),
            claim_all: Statement::generated(format!("SELECT 1 FROM {} FOR UPDATE", matching(rule))),
            claim: Statement::generated(format!(
                "SELECT 1 FROM {table} WHERE {ties} AND {walk} > ${first} ORDER BY {walk} LIMIT ${} FOR UPDATE",
                first + 1
            )),
            is_overtaken: Statement::generated(format!("SELECT 1 FROM ({}) AS children LIMIT 1", of_children.join(" UNION ALL "))),
        })
    }
}

fn is_child(rule: &Rule, by: &str) -> bool {
    rule.fate == Fate::Erase && rule.by == ["organization_id"] && rule.walk.first() == Some(&by)
}

/// The tables that hang on others in the live schema and would go with them uncounted, because they are not known as their children.
pub(super) fn uncounted(root: Root, schema: &Schema) -> Vec<&str> {
    let erased = root.rules().iter().filter(|rule| rule.fate == Fate::Erase && !rule.walk.is_empty());
    // Of members there is none left by then.
    let erased = erased.filter(|rule| !root.waits_for_memberships() || rule.table != "members");
    let hang = erased.flat_map(|rule| schema.tables.iter().map(move |(name, table)| (rule.table, name.as_str(), table)));
    let hang = hang.filter(|(parents, _, table)| table.foreign_keys.iter().any(|key| key.parent == *parents));
    let is_counted = |parents: &str, name: &str| {
        let is_kin = PARENTS.into_iter().any(|kin| kin.parents == parents && children(root, kin).any(|child| child == name));
        let is_family = root.kin().is_none_or(|kin| kin.parents != parents);
        is_kin && (is_family || root.rules().iter().any(|rule| rule.table == name && root.kin().is_some_and(|kin| is_child(rule, kin.by))))
    };
    hang.filter(|(parents, name, _)| !is_counted(parents, name)).map(|(_, name, _)| name).collect()
}
