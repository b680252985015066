//! Parents with all that hangs on them, a handful at a time. Where little hangs on each, the foreign keys take the children along with their
//! parent; erasing the children first and then looking for them again under every parent costs up to twice as much. Where much hangs on
//! one, it is passed over: the steps table by table, which no transaction is too short for, find it afterwards.

use sql::{FromRow, Schema, Statement, Tx, Value, params};
use uuid::Uuid;

use crate::Result;
use crate::key::{Key, KeyColumn};
use crate::plan::{matching, tied};
use crate::rules::{Fate, ParentTable, Root, Rule, Rules};
use crate::throughput::BatchHandover;

/// The tables that go before their parents under a root.
pub(crate) fn children(rules: &Rules, root: &Root, parents: ParentTable) -> impl Iterator<Item = &'static str> {
    let place = root.rules.iter().position(|rule| rule.table == parents.table && rule.fate == Fate::Erase).unwrap_or(0);
    let names_parent = move |rule: &&Rule| rule.fate == Fate::Erase && rules.table(rule.table).is_some_and(|table| table.has(parents.by));
    root.rules[..place].iter().filter(names_parent).map(|rule| rule.table)
}

/// The statements about rows on which others hang, whose own steps went before.
///
/// On PostgreSQL another transaction, not visible yet, may be hanging something on a row. It would go with the row, uncounted. So the row
/// is locked first, which waits for that transaction and keeps others away, and then looked at again.
#[derive(Debug)]
pub(crate) struct Parents {
    /// The tables of what hangs on them.
    pub(crate) children: Vec<&'static str>,
    /// Locks the rows of several subjects.
    pub(crate) claim_all: Statement,
    /// Locks the rows of a batch, the first one and a later one.
    pub(crate) claim: [Statement; 2],
    /// Whether something hangs on a row up to one, of all and of those after another.
    pub(crate) is_overtaken: [Statement; 4],
}

/// The statements about the cascade groups of one root.
#[derive(Debug)]
pub(crate) struct CascadeGroups {
    pub(crate) parents: ParentTable,
    children: Vec<&'static str>,
    /// The parents after another, or from the first one.
    bound: [Statement; 2],
    /// Rows of each child table between two parents, each counted up to a limit.
    count: [Statement; 2],
    erase: [Statement; 2],
    /// How many of the root's steps are done when all groups are gone.
    pub(crate) steps: usize,
}

/// What a batch of groups came to.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Rows that went, by table.
    pub(crate) touched: Vec<(&'static str, i64)>,
    /// The last parent that was looked at.
    pub(crate) last: Key,
    /// Whether it is still there: so much hangs on it.
    pub(crate) is_passed_over: bool,
    /// Whether there was none after it.
    pub(crate) is_end: bool,
}

/// Rows for which one parent is tried. What they really come to is counted before they are erased.
const EACH: i64 = 16;
/// Rows of a group that goes in one transaction however few rows are asked for.
pub const SMALL_GROUP: i64 = 200;

impl CascadeGroups {
    /// None for a root without groups.
    pub(crate) fn generate(rules: &Rules, root: &Root, steps: &[&Rule]) -> Option<CascadeGroups> {
        let parents = root.cascades?;
        let ParentTable { table, by, key: KeyColumn { name: key, .. } } = parents;
        let tenant = rules.tenant;
        let place = steps.iter().position(|rule| rule.table == table)?;
        let children: Vec<&str> = steps[..place].iter().filter(|rule| is_child(rules, rule, by)).map(|rule| rule.table).collect();
        // The first form begins with the first parent, the second after `$2`; what comes after that is one place further on.
        let forms =
            |make: &dyn Fn(&str, usize) -> String| [("", 2), ("after", 3)].map(|(after, next)| Statement::generated(make(after, next)));
        let beyond = |column: &str, after: &str| if after.is_empty() { String::new() } else { format!(" AND {column} > $2") };
        Some(CascadeGroups {
            parents,
            // This waits for transactions that add to one of these parents. Later ones find them gone.
            bound: forms(&|after, next| {
                format!("SELECT {key} FROM {table} WHERE {tenant} = $1{} ORDER BY {key} LIMIT ${next} FOR UPDATE", beyond(key, after))
            }),
            count: forms(&|after, next| {
                let of_child = |child: &&str| {
                    let between = format!("{tenant} = $1{} AND {by} <= ${next}", beyond(by, after));
                    format!("(SELECT count(*) FROM (SELECT 1 FROM {child} WHERE {between} LIMIT ${}) AS limited)", next + 1)
                };
                format!("SELECT {}", children.iter().map(of_child).collect::<Vec<_>>().join(", "))
            }),
            erase: forms(&|after, next| format!("DELETE FROM {table} WHERE {tenant} = $1{} AND {key} <= ${next}", beyond(key, after))),
            children,
            steps: place + 1,
        })
    }

    /// Erases groups that come after a parent, or the first ones, up to so many rows. Returns nothing when there are none. Before it erases,
    /// it tells with which parent it will end, if there are more.
    pub(crate) async fn advance(
        &self,
        tx: &mut Tx,
        tenant: Uuid,
        after: Option<&Key>,
        rows: i64,
        handover: Option<&BatchHandover>,
    ) -> Result<Option<Batch>> {
        let (most, parents_asked) = (rows.max(SMALL_GROUP), (rows / EACH).max(1));
        let form = usize::from(after.is_some());
        let bound = |more: &[Value]| -> Vec<Value> {
            let first = [Some(Value::from(tenant)), after.cloned().map(Value::from)];
            first.into_iter().flatten().chain(more.iter().cloned()).collect()
        };
        let found = tx.query(self.bound[form], &bound(params![parents_asked])).await?.into_iter();
        let mut parents = found.map(|row| row.read_with(|row| Key::read(row, self.parents.key.kind))).collect::<sql::Result<Vec<_>>>()?;
        let mut is_end = (parents.len() as i64) < parents_asked;
        while let Some(last) = parents.last().cloned() {
            let answer = tx.query_one(self.count[form], &bound(params![last.clone(), most + 1])).await?;
            let counts: Vec<i64> =
                answer.read_with(|row| self.children.iter().map(|_| FromRow::from_row(row)).collect::<sql::Result<_>>())?;
            let is_small = counts.iter().sum::<i64>() + parents.len() as i64 <= most;
            if !is_small && parents.len() > 1 {
                parents.truncate(parents.len() / 2);
                is_end = false;
                continue;
            }
            if let Some(handover) = handover.filter(|_| !is_end) {
                handover.tell(last.clone());
            }
            let mut touched = Vec::new();
            if is_small {
                let gone = tx.execute(self.erase[form], &bound(params![last.clone()])).await?;
                touched.extend(self.children.iter().copied().zip(counts));
                touched.push((self.parents.table, i64::try_from(gone).unwrap_or(i64::MAX)));
            }
            return Ok(Some(Batch { touched, last, is_passed_over: !is_small, is_end }));
        }
        Ok(None)
    }

    pub(crate) fn statements(&self) -> impl Iterator<Item = Statement> {
        [self.bound, self.count, self.erase].into_iter().flatten()
    }
}

impl Parents {
    /// None where nothing hangs on these rows.
    pub(crate) fn generate(rules: &Rules, root: &Root, rule: &Rule, parents: ParentTable) -> Option<Parents> {
        let (table, ties, first) = (rule.table, tied(rule), rule.by.len() + 1);
        let walk = rule.walk.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
        let width = rule.walk.len();
        // After one row, or from the first, up to another one, or to the last.
        let between = |columns: &str, has_beginning: bool, has_end: bool| {
            let second = if has_beginning { first + width } else { first };
            let bounds = [(has_beginning, ">", first), (has_end, "<=", second)].into_iter().filter(|(is_there, ..)| *is_there);
            let place = |from: usize| (from..from + width).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
            bounds.map(|(_, sign, from)| format!(" AND ({columns}) {sign} ({})", place(from))).collect::<String>()
        };
        let is_along_key = rule.walk == [parents.key];
        let of_children = |has_beginning: bool, has_end: bool| {
            let of_child = |child: &Rule| {
                let which = match is_along_key {
                    true => between(parents.by, has_beginning, has_end),
                    false => {
                        let rows = between(&walk, has_beginning, has_end);
                        format!(" AND {} IN (SELECT {} FROM {table} WHERE {ties}{rows})", parents.by, parents.key.name)
                    }
                };
                format!("SELECT 1 FROM {} WHERE {}{which}", child.table, tied(child))
            };
            let children = children(rules, root, parents).filter_map(|child| root.rules.iter().find(|rule| rule.table == child));
            let children: Vec<String> = children.map(of_child).collect();
            Statement::generated(format!("SELECT 1 FROM ({}) AS children LIMIT 1", children.join(" UNION ALL ")))
        };
        let claim = |is_later: bool| {
            let after = between(&walk, is_later, false);
            let limit = first + if is_later { width } else { 0 };
            Statement::generated(format!("SELECT 1 FROM {table} WHERE {ties}{after} ORDER BY {walk} LIMIT ${limit} FOR UPDATE"))
        };
        (children(rules, root, parents).next().is_some()).then(|| Parents {
            children: children(rules, root, parents).collect(),
            claim_all: Statement::generated(format!("SELECT 1 FROM {} FOR UPDATE", matching(rule))),
            claim: [claim(false), claim(true)],
            is_overtaken: [of_children(false, false), of_children(false, true), of_children(true, false), of_children(true, true)],
        })
    }

    /// The statement that asks for what hangs on the rows after one, or from the first, up to another, or to the last.
    pub(crate) fn is_overtaken(&self, has_beginning: bool, has_end: bool) -> Statement {
        self.is_overtaken[2 * usize::from(has_beginning) + usize::from(has_end)]
    }

    pub(crate) fn statements(&self) -> impl Iterator<Item = Statement> {
        [self.claim_all].into_iter().chain(self.claim).chain(self.is_overtaken)
    }
}

fn is_child(rules: &Rules, rule: &Rule, by: &str) -> bool {
    rule.fate == Fate::Erase && rule.by == [rules.tenant] && rule.walk.first().is_some_and(|column| column.name == by)
}

/// The tables that hang on others in the live schema and would go with them uncounted, because they are not known as their children.
pub(crate) fn uncounted<'a>(rules: &Rules, root: &Root, schema: &'a Schema) -> Vec<&'a str> {
    let erased = root.rules.iter().filter(|rule| rule.fate == Fate::Erase && !rule.is_own());
    // Of what is awaited there is none left by then.
    let erased = erased.filter(|rule| root.awaits != Some(rule.table));
    let hang = erased.flat_map(|rule| schema.tables.iter().map(move |(name, table)| (rule.table, name.as_str(), table)));
    let hang = hang.filter(|(parents, _, table)| table.foreign_keys.iter().any(|key| key.parent == *parents));
    let is_counted = |parents: &str, name: &str| {
        let mut known = rules.parents.iter().filter(|known| known.table == parents);
        let is_child_of_parents = known.any(|known| children(rules, root, *known).any(|child| child == name));
        let is_group = root.cascades.is_none_or(|group| group.table != parents);
        let of_group = |rule: &Rule| rule.table == name && root.cascades.is_some_and(|group| is_child(rules, rule, group.by));
        is_child_of_parents && (is_group || root.rules.iter().any(of_group))
    };
    hang.filter(|(parents, name, _)| !is_counted(parents, name)).map(|(_, name, _)| name).collect()
}
