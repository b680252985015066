//! The archives of exports: those that the database promises are there and whole, and no others are.

use aws_lc_rs::digest::{Context, SHA256};
use sql::{columns, params, sql};
use uuid::Uuid;

use super::checks::{count, some};
use super::{CheckContext, Finding, Findings, Tell, quoted};
use crate::exports::{Found, archive_name, owner_of};
use crate::storage::{Failure, MARKER, Owner, Place, Storage};
use crate::{Error, Result};

/// Exports that are read of the database at once.
const BATCH: i64 = 500;

/// An archive as the database knows it.
struct Promised {
    export: Uuid,
    bytes: Option<i64>,
    sha256: Option<Vec<u8>>,
}

columns! { Promised { export: "id", bytes, sha256 } }

pub(super) fn archives<'a>(context: &'a CheckContext, tell: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let (place, storage) = (&context.exports, Storage::open(&context.exports)?);
        let failed = |failure: Failure| Error::Malformed(format!("{place}: {failure}"));
        let owner = context.db.read(async move |tx| owner_of(tx).await).await?;
        let of = match storage.owner().await {
            // It does not say whose it is, which the next start asks.
            Err(Failure::Damaged) => None,
            of => of.map_err(failed)?,
        };
        let is_of_its_own = |owner: Owner| Some(owner.id) == of || owner.former == of || owner.former == Some(Uuid::nil());
        let is_ours = of.is_none() || owner.is_some_and(is_of_its_own);
        let (mut missing, mut damaged, mut after) = (Vec::new(), Vec::new(), Uuid::nil());
        loop {
            let promised = promised(context, after).await?;
            let Some(last) = promised.last() else { break };
            after = last.export;
            for promised in promised {
                tell(&promised.export.to_string());
                let is_whole = is_whole(&storage, &promised).await.map_err(failed)?;
                // A server beside this may have removed it meanwhile, as it should.
                if is_whole == Some(true) || !is_promised(context, promised.export).await? {
                    continue;
                }
                let found = if is_whole.is_none() { &mut missing } else { &mut damaged };
                found.push(promised.export.to_string());
            }
        }
        let mut findings = Vec::new();
        if !is_ours {
            findings.push(Finding {
                what: format!("the exports in {place} belong to another database; a server on this one does not start with them"),
                table: None,
                rows: 1,
                of: "files",
                sample: vec![MARKER.into()],
                remedy: "name the place of this database's own exports with --exports, to the doctor and to the server".into(),
            });
        }
        // One line for each, to be pasted.
        let commands = |exports: &[String]| exports.iter().map(|id| format!("freehold exports delete {id}")).collect::<Vec<_>>().join("; ");
        for (what, exports) in [("are not there", missing), ("are not as they were written: cut short, or changed", damaged)] {
            if !exports.is_empty() {
                let shown = &exports[..exports.len().min(super::MOST_SAMPLES as usize)];
                findings.push(Finding {
                    what: format!("archives of exports in {place} {what}; a download of them is answered 410"),
                    table: Some("exports".into()),
                    rows: count(exports.len()),
                    of: "exports",
                    remedy: format!(
                        "put them back from a copy, or name their place with --exports if it is another; otherwise order them again (freehold exports \
                         create) and end these: {}",
                        commands(shown)
                    ),
                    sample: some(exports),
                });
            }
        }
        // What has the name of an archive goes with the next start, if the place is this database's.
        let names = storage.list().await.map_err(failed)?;
        let strange: Vec<String> = names.into_iter().filter(|name| name != MARKER && Found::parse(name.clone()).is_none()).collect();
        if is_ours && !strange.is_empty() {
            let shown = &strange[..strange.len().min(super::MOST_SAMPLES as usize)];
            let remove = shown.iter().map(|name| match place {
                Place::Folder(path) => format!("rm -- {}", quoted(path.join(name).display())),
                Place::Bucket { .. } => format!("aws s3 rm {}", quoted(format_args!("{place}/{name}"))),
            });
            findings.push(Finding {
                what: format!("files in {place} are of no export, and no server removes them"),
                table: None,
                rows: count(strange.len()),
                of: "files",
                remedy: format!("move them away, or remove them: {}", remove.collect::<Vec<_>>().join("; ")),
                sample: some(strange),
            });
        }
        Ok(findings)
    })
}

async fn promised(context: &CheckContext, after: Uuid) -> Result<Vec<Promised>> {
    let now = context.now;
    context
        .db
        .read(async move |tx| {
            let statement =
                sql!("SELECT {columns} FROM exports WHERE state = 'done' AND expires_at > $1 AND id > $2 ORDER BY id LIMIT $3", Promised);
            Ok(tx.read_all(statement, params![now, after, BATCH]).await?)
        })
        .await
}

/// Whether an archive is still to be there.
async fn is_promised(context: &CheckContext, export: Uuid) -> Result<bool> {
    let now = context.clock.now();
    context
        .db
        .read(async move |tx| {
            let statement = sql!("SELECT 1 FROM exports WHERE id = $1 AND state = 'done' AND expires_at > $2");
            Ok(tx.query_opt(statement, params![export, now]).await?.is_some())
        })
        .await
}

/// Whether an archive is as it was written; none where there is none.
async fn is_whole(storage: &Storage, promised: &Promised) -> Result<Option<bool>, Failure> {
    let Some(stored) = storage.find(&archive_name(promised.export)).await? else { return Ok(None) };
    let bytes = stored.bytes();
    if promised.bytes.is_some_and(|promised| u64::try_from(promised) != Ok(bytes)) {
        return Ok(Some(false));
    }
    let Some(sha256) = &promised.sha256 else { return Ok(Some(true)) };
    let (mut reader, mut hash) = (stored.read(0..bytes).await?, Context::new(&SHA256));
    while let Some(piece) = reader.piece().await? {
        hash.update(&piece);
    }
    Ok(Some(hash.finish().as_ref() == sha256.as_slice()))
}
