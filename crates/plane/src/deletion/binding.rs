//! A deletion that is bound to its plan: the plan's token says what was found, and the DELETE that brings it along is refused when it finds
//! something else.
//!
//! Of a table with up to 500 rows that would go, the token holds their number and a digest of their ids, so that one row in the place of
//! another is seen; of a larger one the number alone. The first is asked under the locks of the transaction that deletes. The second is
//! counted just before it, since no other transaction shall wait meanwhile: what comes and goes in that moment is not seen.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sql::Tx;
use uuid::Uuid;

use super::SMALL;
use super::rules::{Root, Rule};
use super::statements::Plan;
use crate::access::Tenant;
use crate::{Cx, Error, Result};

/// The first byte of every token. Another one for another form.
const VERSION: u8 = 1;
const DIGEST: usize = 8;
const CHECK: usize = 4;

/// Tables in which rows come by themselves: what the server writes down about requests, refused ones among them, and the sessions of people
/// who sign in, the one who deletes among them. Approvals come after the plan that they are given to. No deletion is refused for these.
const COMES_BY_ITSELF: [&str; 8] = [
    "audit_entries",
    "client_addresses",
    "deletions",
    "webhook_deliveries",
    "idempotent_answers",
    "sessions",
    "deletion_approvals",
    "purge_items",
];

/// Whether a plan is bound to the rows of this rule.
pub(super) fn is_bound(rule: &Rule) -> bool {
    !COMES_BY_ITSELF.contains(&rule.table)
}

/// What a plan found, as its token tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    root: Root,
    organization: Uuid,
    subject: Uuid,
    /// In the order of the root's bound targets.
    found: Vec<Found>,
}

/// What was found in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    rows: i64,
    /// Of the ids, where there are some and few.
    digest: Option<[u8; DIGEST]>,
}

impl Found {
    fn of(ids: &[Uuid], counted: i64) -> Found {
        let few = ids.len() as i64 <= SMALL;
        Found { rows: if few { ids.len() as i64 } else { counted }, digest: (few && !ids.is_empty()).then(|| digest_of(ids)) }
    }
}

fn digest_of(ids: &[Uuid]) -> [u8; DIGEST] {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let bytes: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
    first_bytes(&bytes)
}

fn first_bytes<const N: usize>(of: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.copy_from_slice(&digest(&SHA256, of).as_ref()[..N]);
    first
}

impl Token {
    /// What was found in the bound targets of a plan, with their rows as they were counted.
    pub(super) fn of(root: Root, organization: Uuid, subject: Uuid, found: &[(Vec<Uuid>, i64)]) -> Token {
        Token { root, organization, subject, found: found.iter().map(|(ids, counted)| Found::of(ids, *counted)).collect() }
    }

    /// As text. It is not signed: a caller who makes up a token changes only whether their own deletion is refused.
    pub(super) fn write(&self) -> String {
        let mut bytes = vec![VERSION, self.root as u8];
        bytes.extend(self.organization.as_bytes());
        bytes.extend(self.subject.as_bytes());
        for found in &self.found {
            write_number(&mut bytes, found.rows);
            bytes.extend(found.digest.unwrap_or_default().iter().take(if found.digest.is_some() { DIGEST } else { 0 }));
        }
        bytes.extend(check_of(self.root, &bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// None for what is no token, is not whole, or was made under other rules.
    fn read(text: &str) -> Option<Token> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (bytes, check) = bytes.split_last_chunk::<CHECK>()?;
        let ([VERSION, root], rest) = bytes.split_first_chunk::<2>()? else { return None };
        let root = Root::ALL.into_iter().find(|known| *known as u8 == *root).filter(|root| check_of(*root, bytes) == *check)?;
        let (organization, rest) = rest.split_first_chunk()?;
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
        let is_whole = found.len() == Plan::of(root).bound_targets().count();
        is_whole.then(|| Token { root, organization: Uuid::from_bytes(*organization), subject: Uuid::from_bytes(*subject), found })
    }
}

/// Tells a token that was cut off or mistyped, and one that was made under other rules.
fn check_of(root: Root, bytes: &[u8]) -> [u8; CHECK] {
    let tables = Plan::of(root).bound_targets().flat_map(|target| [target.table.as_bytes(), b" "].concat());
    first_bytes(&root.name().bytes().chain([b' ']).chain(tables).chain(bytes.iter().copied()).collect::<Vec<u8>>())
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

/// The plan that a request is bound to.
#[derive(Debug)]
pub struct Planned {
    /// None for a text that is no token.
    token: Option<Token>,
    /// Rows of every rule, counted just before the transaction.
    counted: OnceLock<Vec<i64>>,
}

/// Why a deletion is no longer what was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    words: &'static str,
    /// The tables in which something else was found than the plan says; none for a plan of something else.
    pub tables: Vec<TableDrift>,
}

/// A table in which something else was found than the plan says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Drift")]
pub struct TableDrift {
    /// The table.
    #[schemars(length(min = 1, max = 50), example = &"devices")]
    pub table: &'static str,
    /// Rows that were to go.
    #[schemars(example = 2)]
    pub planned: i64,
    /// Rows that would go now. If they are as many, they are others.
    #[schemars(example = 3)]
    pub now: i64,
}

impl Drift {
    /// Of a purge that was looked at when there were another number of customers to be deleted.
    pub(crate) fn of_purge(planned: i64, now: i64) -> Drift {
        let words = "There are not as many customers to be deleted as you say: look at the purge again, and decide anew.";
        Drift { words, tables: vec![TableDrift { table: "customers", planned, now }] }
    }
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

impl Cx {
    /// The same work, where a deletion is bound to the plan of this token.
    pub fn bound_to(mut self, token: &str) -> Cx {
        self.planned = Some(Arc::new(Planned { token: Token::read(token), counted: OnceLock::new() }));
        self
    }
}

/// Counts what the plan says is too much to be counted while others wait. Part of every deletion that may be large, before its transaction.
pub(crate) async fn count_ahead(cx: &Cx, tenant: &Tenant) -> Result<()> {
    let Some(planned) = &cx.planned else { return Ok(()) };
    let is_large = |token: &&Token| token.found.iter().any(|found| found.rows > SMALL);
    let Some(token) = planned.token.as_ref().filter(is_large) else { return Ok(()) };
    if token.organization == tenant.organization() {
        let (root, organization, subject) = (token.root, token.organization, token.subject);
        let counted = cx.read(async move |_, tx| Plan::of(root).survey(tx, organization, subject).await).await?;
        // It is counted once a request.
        let _ = planned.counted.set(counted);
    }
    Ok(())
}

/// Holds a deletion whose subject is locked against the plan it is bound to, if it is.
///
/// # Errors
/// [`Error::Drifted`]; the database's.
pub(super) async fn check(cx: &Cx, tx: &mut Tx, plan: &Plan, organization: Uuid, (root, subject): (Root, Uuid)) -> Result<()> {
    let Some(planned) = &cx.planned else { return Ok(()) };
    let refuse = |words, tables| Err(Error::Drifted(Drift { words, tables }));
    let Some(token) = &planned.token else { return refuse(UNREADABLE, Vec::new()) };
    if (token.root, token.organization, token.subject) != (root, organization, subject) {
        return refuse(OF_ANOTHER, Vec::new());
    }
    let ids = plan.ids(tx, organization, subject, true, SMALL + 1).await?;
    let mut counted = planned.counted.get().cloned();
    if counted.is_none() && ids.iter().any(|ids| ids.len() as i64 > SMALL) {
        counted = Some(plan.survey(tx, organization, subject).await?);
    }
    let mut tables = Vec::new();
    for ((target, ids), before) in plan.bound_targets().zip(ids).zip(&token.found) {
        let counted = counted.as_ref().and_then(|counted| counted.get(target.rule)).copied().unwrap_or_default();
        let now = Found::of(&ids, counted.max(ids.len() as i64));
        if now != *before {
            tables.push(TableDrift { table: target.table, planned: before.rows, now: now.rows });
        }
    }
    if tables.is_empty() { Ok(()) } else { refuse(DRIFTED, tables) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deletion::rules::TABLES;

    fn token(root: Root, rows: i64) -> Token {
        let ids: Vec<Uuid> = (1..=rows.min(SMALL + 1)).map(|number| Uuid::from_u128(number as u128)).collect();
        let found: Vec<(Vec<Uuid>, i64)> = Plan::of(root).bound_targets().map(|_| (ids.clone(), rows)).collect();
        Token::of(root, Uuid::from_u128(7), Uuid::from_u128(8), &found)
    }

    #[test]
    fn a_plan_is_bound_to_the_subject_itself_and_not_to_what_comes_by_itself() {
        for root in Root::ALL {
            let rules = root.rules();
            let bound: Vec<usize> = Plan::of(root).bound_targets().map(|target| target.rule).collect();
            assert!(bound.iter().all(|place| is_bound(&rules[*place])), "{root:?}");
            assert_eq!(bound.last() == Some(&(rules.len() - 1)), Plan::of(root).erases_root(), "{root:?}");
        }
        assert!(COMES_BY_ITSELF.iter().all(|name| TABLES.iter().any(|table| table.name == *name)));
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        for root in Root::ALL {
            for rows in [0, 1, 127, 128, 500, 501, 12_345_678_901] {
                let token = token(root, rows);
                let text = token.write();
                assert!((40..=400).contains(&text.len()), "{} characters", text.len());
                assert_eq!(Token::read(&text), Some(token));
            }
        }
    }

    #[test]
    fn what_was_cut_off_or_mistyped_is_no_token() {
        let text = token(Root::Organization, 3).write();
        for length in 0..text.len() {
            assert_eq!(Token::read(&text[..length]), None, "{length}");
        }
        for place in 0..text.len() - 1 {
            let other = if text.as_bytes()[place] == b'A' { "B" } else { "A" };
            let mistyped = format!("{}{other}{}", &text[..place], &text[place + 1..]);
            assert_eq!(Token::read(&mistyped), None, "{place}");
        }
    }

    #[test]
    fn one_row_in_the_place_of_another_is_seen_and_their_order_is_not() {
        let [first, second, third] = [1, 2, 3].map(Uuid::from_u128);
        assert_eq!(Found::of(&[first, second], 2), Found::of(&[second, first], 2));
        assert_ne!(Found::of(&[first, second], 2), Found::of(&[first, third], 2));
    }
}
