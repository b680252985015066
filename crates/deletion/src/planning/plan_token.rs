//! A deletion that is bound to its plan: the plan's token says what was found, and the DELETE that brings it along is refused when it finds
//! something else.
//!
//! Of a table with up to 500 rows that would go, the token holds their number and a digest of their ids, so that one row in the place of
//! another is seen; of a larger one the number alone. The first is asked under the locks of the transaction that deletes. The second is
//! counted just before it, since no other transaction shall wait meanwhile: what comes and goes in that moment is not seen.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sql::Tx;
use uuid::Uuid;

use crate::key::Cursor;
use crate::rules::{Root, Rules};
use crate::{Error, Result, SMALL};

/// The first byte of every token. Another one for another form.
const VERSION: u8 = 2;
const DIGEST: usize = 8;
const CHECK: usize = 4;

/// What a plan found, as its token tells.
#[derive(Debug, Clone, PartialEq)]
struct Token {
    root: &'static Root,
    tenant: Uuid,
    subject: Uuid,
    /// In the order of the root's bound targets.
    found: Vec<Found>,
}

/// What was found in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    rows: i64,
    /// Of the keys, where there are some and few.
    digest: Option<[u8; DIGEST]>,
}

impl Found {
    fn of(keys: &[Cursor], counted: i64) -> Found {
        let few = keys.len() as i64 <= SMALL;
        Found { rows: if few { keys.len() as i64 } else { counted }, digest: (few && !keys.is_empty()).then(|| digest_of(keys)) }
    }
}

fn digest_of(keys: &[Cursor]) -> [u8; DIGEST] {
    let mut keys: Vec<&Cursor> = keys.iter().collect();
    keys.sort_unstable();
    let bytes: Vec<u8> = keys.into_iter().flatten().flat_map(crate::key::Key::bytes).collect();
    first_bytes(&bytes)
}

fn first_bytes<const N: usize>(of: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.copy_from_slice(&digest(&SHA256, of).as_ref()[..N]);
    first
}

impl Token {
    /// As text. It is not signed: a caller who makes up a token changes only whether their own deletion is refused.
    fn write(&self, rules: &'static Rules) -> String {
        let number = rules.roots.iter().position(|root| root == self.root).and_then(|place| u8::try_from(place).ok());
        let mut bytes = vec![VERSION, number.unwrap_or(u8::MAX)];
        bytes.extend(self.tenant.as_bytes());
        bytes.extend(self.subject.as_bytes());
        for found in &self.found {
            write_number(&mut bytes, found.rows);
            bytes.extend(found.digest.unwrap_or_default().iter().take(if found.digest.is_some() { DIGEST } else { 0 }));
        }
        bytes.extend(check_of(rules, self.root, &bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// None for what is no token, is not whole, or was made under other rules.
    fn read(rules: &'static Rules, text: &str) -> Option<Token> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (bytes, check) = bytes.split_last_chunk::<CHECK>()?;
        let ([VERSION, root], rest) = bytes.split_first_chunk::<2>()? else { return None };
        let root = rules.roots.get(usize::from(*root)).filter(|root| check_of(rules, root, bytes) == *check)?;
        let (tenant, rest) = rest.split_first_chunk()?;
        let (subject, mut rest) = rest.split_first_chunk()?;
        let mut found = Vec::new();
        while !rest.is_empty() {
            let rows = read_number(&mut rest)?;
            let mut digest = None;
            if (1..=SMALL).contains(&rows) {
                let (bytes, after) = rest.split_first_chunk()?;
                (digest, rest) = (Some(*bytes), after);
            }
            found.push(Found { rows, digest });
        }
        let is_whole = found.len() == rules.plan(root).bound_targets().count();
        is_whole.then(|| Token { root, tenant: Uuid::from_bytes(*tenant), subject: Uuid::from_bytes(*subject), found })
    }
}

/// Tells a token that was cut off or mistyped, and one that was made under other rules.
fn check_of(rules: &'static Rules, root: &'static Root, bytes: &[u8]) -> [u8; CHECK] {
    let tables = rules.plan(root).bound_targets().flat_map(|target| [target.table.as_bytes(), b" "].concat());
    first_bytes(&root.name.bytes().chain([b' ']).chain(tables).chain(bytes.iter().copied()).collect::<Vec<u8>>())
}

/// Seven bits a byte, the last ones first.
fn write_number(bytes: &mut Vec<u8>, number: i64) {
    let mut left = number.unsigned_abs();
    while left > 0x7f {
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<i64> {
    let mut number: u64 = 0;
    for place in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return i64::try_from(number).ok();
        }
    }
    None
}

/// What a deletion would do to one table.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// The place of its rule among those of the root.
    pub rule: usize,
    /// How many rows the rule is about.
    pub rows: i64,
    /// Keys of the first hundred of those that would not stay as they are, without the columns that tie them to the subject.
    pub sample: Vec<Cursor>,
}

/// What a deletion would do now.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Of every rule of its root, in their order.
    pub tables: Vec<TablePlan>,
    /// Rows that would not stay as they are.
    pub rows: i64,
    /// What binds a deletion to this.
    pub token: String,
}

/// Keys that a plan names of each table.
const SAMPLE: usize = 100;

/// Finds what a deletion would do now.
///
/// # Errors
/// The database's.
pub async fn preview(rules: &'static Rules, tx: &mut Tx, root: &'static Root, tenant: Uuid, subject: Uuid) -> Result<Preview> {
    let plan = rules.plan(root);
    let counted = plan.survey(tx, tenant, subject).await?;
    let mut tables: Vec<TablePlan> =
        counted.into_iter().enumerate().map(|(rule, rows)| TablePlan { rule, rows, sample: Vec::new() }).collect();
    let (mut found, mut rows) = (Vec::new(), 0);
    let keys = plan.keys(tx, tenant, subject, false, SMALL + 1).await?;
    for (target, keys) in plan.targets().iter().zip(keys) {
        let Some(table) = tables.get_mut(target.rule) else { continue };
        rows += table.rows;
        if target.is_bound {
            found.push(Found::of(&keys, table.rows));
        }
        table.sample = keys.into_iter().take(SAMPLE).collect();
    }
    Ok(Preview { tables, rows, token: Token { root, tenant, subject, found }.write(rules) })
}

/// The plan that an order is bound to.
#[derive(Debug)]
pub struct PlanToken {
    /// None for a text that is no token.
    token: Option<Token>,
    rules: &'static Rules,
    /// Rows of every rule, counted just before the transaction.
    counted: OnceLock<Vec<i64>>,
}

/// Why a deletion is no longer what was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// A sentence for people.
    pub words: &'static str,
    /// The tables in which something else was found than the plan says; none for a plan of something else.
    pub tables: Vec<TableDrift>,
}

/// A table in which something else was found than the plan says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Drift")]
pub struct TableDrift {
    /// The table.
    #[schemars(length(min = 1, max = 50), example = &"documents")]
    pub table: &'static str,
    /// Rows that were to go.
    #[schemars(example = 2)]
    pub planned: i64,
    /// Rows that would go now. If they are as many, they are others.
    #[schemars(example = 3)]
    pub now: i64,
}

impl std::fmt::Display for Drift {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.words)?;
        for (place, TableDrift { table, planned, now }) in self.tables.iter().enumerate() {
            out.write_str(if place == 0 { " " } else { "; " })?;
            match planned == now {
                true => write!(out, "{table}: {planned} planned, now {now} others")?,
                false => write!(out, "{table}: {planned} planned, now {now}")?,
            }
        }
        out.write_str(if self.tables.is_empty() { "" } else { "." })
    }
}

const UNREADABLE: &str = "This is no plan, not a whole one, or one of another version of this server. Ask for the plan again.";
const OF_ANOTHER: &str = "This is the plan of another deletion. Ask for the plan of this one.";
const DRIFTED: &str = "What would go is no longer what was planned. Ask for the plan again and decide anew.";

impl PlanToken {
    /// The plan of this token. What is no token refuses every deletion that is bound to it.
    pub fn read(rules: &'static Rules, text: &str) -> PlanToken {
        PlanToken { token: Token::read(rules, text), rules, counted: OnceLock::new() }
    }

    /// What has to be counted before the transaction that deletes in a tenant, because the plan says that it is too much to be counted while
    /// others wait: for [`PlanToken::count`].
    pub fn is_large_in(&self, tenant: Uuid) -> bool {
        self.token.as_ref().is_some_and(|token| token.tenant == tenant && token.found.iter().any(|found| found.rows > SMALL))
    }

    /// Counts it, in a transaction that only reads.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(&self, tx: &mut Tx) -> Result<()> {
        if let Some(token) = &self.token {
            let counted = self.rules.plan(token.root).survey(tx, token.tenant, token.subject).await?;
            // It is counted once a request.
            let _ = self.counted.set(counted);
        }
        Ok(())
    }

    /// Holds a deletion whose subject is locked against the plan.
    ///
    /// # Errors
    /// [`Error::Drifted`]; the database's.
    pub async fn check(&self, tx: &mut Tx, root: &'static Root, tenant: Uuid, subject: Uuid) -> Result<()> {
        let refuse = |words, tables| Err(Error::Drifted(Drift { words, tables }));
        let Some(token) = &self.token else { return refuse(UNREADABLE, Vec::new()) };
        if (token.root, token.tenant, token.subject) != (root, tenant, subject) {
            return refuse(OF_ANOTHER, Vec::new());
        }
        let plan = self.rules.plan(root);
        let keys = plan.keys(tx, tenant, subject, true, SMALL + 1).await?;
        let mut counted = self.counted.get().cloned();
        if counted.is_none() && keys.iter().any(|keys| keys.len() as i64 > SMALL) {
            counted = Some(plan.survey(tx, tenant, subject).await?);
        }
        let mut tables = Vec::new();
        for ((target, keys), before) in plan.bound_targets().zip(keys).zip(&token.found) {
            let counted = counted.as_ref().and_then(|counted| counted.get(target.rule)).copied().unwrap_or_default();
            let now = Found::of(&keys, counted.max(keys.len() as i64));
            if now != *before {
                tables.push(TableDrift { table: target.table, planned: before.rows, now: now.rows });
            }
        }
        if tables.is_empty() { Ok(()) } else { refuse(DRIFTED, tables) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fate, Holds, Key, Rule, TableColumns, uuid};

    const NOTES: &[Rule] = &[
        Rule::new("pages", &["house", "note"], &[uuid("id")], Fate::Erase, "belongs to a note"),
        Rule::new("notes", &["house", "id"], &[], Fate::Erase, "the note"),
    ];
    const ROOTS: &[Root] = &[Root {
        name: "note",
        noun: "note",
        rules: NOTES,
        mark: None,
        unmark: None,
        credentials: &[],
        waits_before: None,
        awaits: None,
        is_locked_when_ordered: false,
        locks_each_batch: false,
        orders_others: None,
        cascades: None,
        guards: "nothing",
    }];
    const TABLES: &[TableColumns] = &[
        TableColumns::new("pages", &[("house", Holds::Plain), ("note", Holds::Plain), ("id", Holds::Plain), ("created_at", Holds::Plain)]),
        TableColumns::new("notes", &[("house", Holds::Plain), ("id", Holds::Plain)]),
    ];
    static RULES: Rules = Rules::new("house", ROOTS, TABLES, &[], &[], "here");

    fn keys(numbers: impl IntoIterator<Item = u128>) -> Vec<Cursor> {
        numbers.into_iter().map(|number| vec![Key::Uuid(Uuid::from_u128(number))]).collect()
    }

    fn token(rows: i64) -> Token {
        let found = Found::of(&keys(1..=rows.min(SMALL + 1) as u128), rows);
        Token { root: &ROOTS[0], tenant: Uuid::from_u128(7), subject: Uuid::from_u128(8), found: vec![found; 2] }
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        for rows in [0, 1, 127, 128, 500, 501, 12_345_678_901] {
            let token = token(rows);
            assert_eq!(Token::read(&RULES, &token.write(&RULES)), Some(token), "{rows}");
        }
    }

    #[test]
    fn what_was_cut_off_or_mistyped_is_no_token() {
        let text = token(3).write(&RULES);
        for length in 0..text.len() {
            assert_eq!(Token::read(&RULES, &text[..length]), None, "{length}");
        }
        for place in 0..text.len() - 1 {
            let other = if text.as_bytes()[place] == b'A' { "B" } else { "A" };
            let mistyped = format!("{}{other}{}", &text[..place], &text[place + 1..]);
            assert_eq!(Token::read(&RULES, &mistyped), None, "{place}");
        }
    }

    #[test]
    fn one_row_in_the_place_of_another_is_seen_and_their_order_is_not() {
        assert_eq!(Found::of(&keys([1, 2]), 2), Found::of(&keys([2, 1]), 2));
        assert_ne!(Found::of(&keys([1, 2]), 2), Found::of(&keys([1, 3]), 2));
        // Keys of several columns, whose texts come to the same.
        let texts = |first: &str, second: &str| vec![vec![Key::Text(first.into()), Key::Text(second.into())]];
        assert_ne!(Found::of(&texts("ab", "c"), 1), Found::of(&texts("a", "bc"), 1));
    }
}
