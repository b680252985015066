//! Encryption at rest: the secrets that the server must be able to read again, which sign tokens and deliveries to webhooks, are in the database
//! encrypted (AES-256-GCM), and the key is not. All other secrets are kept as hashes.
//!
//! What is encrypted names its key and is bound to its table and row. The table `secret_keys` has the id of each key that something may be
//! encrypted with, so that a key that is missing is told at the start. Of several keys the first encrypts, and the start encrypts with it what
//! another one did: that is how the key is rotated. It protects what is read out of a database or a backup, not against those who write into it.

use std::fmt;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use sql::{Database, Tx, params, sql};
use uuid::Uuid;

use crate::hex::hex;
use crate::{Error, Result};

/// The form of what is encrypted: the first byte. Then the key's id, the nonce, ciphertext and tag.
const FORM: u8 = 1;
const ID_LEN: usize = 8;
/// Webhooks that one transaction encrypts at the most.
const STEP: i64 = 500;

/// The tables with secrets that are encrypted, bound into each of them.
pub(crate) const WEBHOOKS: &str = "webhooks";
pub(crate) const SIGNING_KEYS: &str = "signing_keys";

/// A key, and what it is called where it must not be shown.
#[derive(Clone)]
struct SecretKey {
    id: [u8; ID_LEN],
    key: Arc<LessSafeKey>,
}

impl SecretKey {
    fn new(bytes: &[u8; 32]) -> Result<SecretKey> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| Error::Internal("no key could be made".into()))?;
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), b"freehold secret key id").as_ref()[..ID_LEN]);
        Ok(SecretKey { id, key: Arc::new(LessSafeKey::new(key)) })
    }
}

/// Keys that secrets are encrypted with. The first encrypts; all of them decrypt.
#[derive(Clone, Default)]
pub struct SecretKeys(Vec<SecretKey>);

impl fmt::Debug for SecretKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKeys({})", self.names())
    }
}

impl SecretKeys {
    /// Reads keys of 32 bytes in base64 (RFC 4648, section 4), with commas, spaces or line ends between them. What follows a `#` on its line
    /// is a comment.
    ///
    /// # Errors
    /// [`Error::Malformed`], without anything of the text.
    pub fn parse(text: &str) -> Result<SecretKeys> {
        let words = || {
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
            lines.flat_map(|line| line.split([',', ' ', '\t', '\r'])).filter(|word| !word.is_empty())
        };
        let mut keys = Vec::new();
        for (place, word) in words().enumerate() {
            let bytes = BASE64.decode(word).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            let words = || format!("key {} is not 32 bytes in base64: make one with `openssl rand -base64 32`", place + 1);
            keys.push(SecretKey::new(&bytes.ok_or_else(|| Error::Malformed(words()))?)?);
        }
        match keys.is_empty() {
            true => Err(Error::Malformed("there is no key in it: make one with `openssl rand -base64 32`".into())),
            false => Ok(SecretKeys(keys)),
        }
    }

    /// Reads them from a file. Warns when other users of this machine can read it, too.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the file's name.
    pub fn read(file: &Path) -> Result<SecretKeys> {
        let refused = |words: String| Error::Malformed(format!("the secret key in {}: {words}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
        if fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o077 != 0) {
            tracing::warn!(file = %file.display(), "other users of this machine can read the secret key: run chmod 600 on it");
        }
        SecretKeys::parse(&text).map_err(|error| refused(error.to_string()))
    }

    fn get(&self, id: &[u8]) -> Option<&SecretKey> {
        self.0.iter().find(|key| key.id == id)
    }

    fn names(&self) -> String {
        self.0.iter().map(|key| hex(&key.id)).collect::<Vec<_>>().join(", ")
    }
}

/// Where the keys come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// They are these. None: secrets are not encrypted, unless they are already.
    Keys(SecretKeys),
    /// They are in this file, if there is one. For an embedded database that needs no key yet it is made, with a new one.
    Beside(PathBuf),
}

impl KeySource {
    /// The file that is read where no setting names another.
    pub fn in_folder(data: &Path) -> KeySource {
        KeySource::Beside(data.join("secret.key"))
    }
}

/// Encrypts and decrypts the secrets of one database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Encryption {
    keys: SecretKeys,
    /// What encrypts. None while secrets are kept as they are.
    first: Option<SecretKey>,
}

impl Encryption {
    /// Finds the keys, and encrypts with the first what is not. Only where no server can be using another one: `is_alone`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a key is missing that the database needs, with its id; the database's.
    pub(crate) async fn open(db: &Database, source: &KeySource, is_alone: bool, now: Timestamp) -> Result<Encryption> {
        let known = db.read(async move |tx| known(tx).await).await?;
        let keys = match source {
            KeySource::Keys(keys) => keys.clone(),
            KeySource::Beside(file) if file.exists() => {
                narrow(file)?;
                SecretKeys::read(file)?
            }
            KeySource::Beside(file) if known.is_empty() && db.engine_name() == "sqlite" => make(file)?,
            KeySource::Beside(_) => SecretKeys::default(),
        };
        let missing: Vec<String> = known.iter().filter(|id| keys.get(id).is_none()).map(|id| hex(id)).collect();
        if !missing.is_empty() {
            return Err(Error::Malformed(missing_words(&missing, &keys, source)));
        }
        let first = match is_alone {
            true => keys.0.first(),
            // What a server that runs beside this can read, too.
            false => keys.0.iter().find(|key| known.iter().any(|id| *id == key.id)),
        };
        let encryption = Encryption { first: first.cloned(), keys };
        match (&encryption.first, is_alone) {
            (Some(first), true) => encryption.bring_up_to_date(db, first, &known, now).await?,
            (None, true) => tracing::warn!(
                "the secrets of webhooks and the keys that sign tokens are not encrypted in the database: name a key with --secret-key-file or \
                 FREEHOLD_SECRET_KEY"
            ),
            (_, false) => {}
        }
        Ok(encryption)
    }

    /// Encrypts with the first key whatever is not, in steps of a bounded size. A run that is cut short goes on at the next start, since the keys of
    /// before are forgotten last.
    async fn bring_up_to_date(&self, db: &Database, first: &SecretKey, known: &[Vec<u8>], now: Timestamp) -> Result<()> {
        if !known.iter().any(|id| *id == first.id) {
            let insert = sql!("INSERT INTO secret_keys (id, created_at) VALUES ($1, $2)");
            let id = first.id;
            db.write(async move |tx| Ok::<_, Error>(tx.execute(insert, params![&id[..], now]).await?)).await?;
        }
        let mut webhooks = 0;
        loop {
            let encryption = self.clone();
            let step: i64 = db.write(async move |tx| unencrypted_webhooks(tx, &encryption).await).await?;
            webhooks += step;
            if step == 0 {
                break;
            }
        }
        let is_rotation = known.iter().any(|id| *id != first.id);
        let mut last = is_rotation.then_some((Uuid::nil(), Uuid::nil()));
        while let Some(after) = last {
            let encryption = self.clone();
            let (step, next) = db.write(async move |tx| other_webhooks(tx, &encryption, after).await).await?;
            webhooks += step;
            last = next;
        }
        let encryption = self.clone();
        let signing_keys = db.write(async move |tx| signing_keys(tx, &encryption).await).await?;
        if webhooks > 0 || signing_keys > 0 {
            tracing::info!(key = hex(&first.id), webhooks, signing_keys, "secrets in the database were encrypted with this key");
        }
        if is_rotation {
            tracing::info!(key = hex(&first.id), "no other key is needed any more: take the others away");
        }
        Ok(())
    }

    /// Encrypts a secret of a row.
    ///
    /// # Errors
    /// [`Error::Internal`] when the system has no randomness.
    pub(crate) fn encrypt(&self, table: &str, row: &[u8], secret: &[u8]) -> Result<Vec<u8>> {
        let Some(first) = &self.first else { return Ok(secret.to_vec()) };
        let nonce: [u8; NONCE_LEN] = deletion::random()?;
        let mut text = secret.to_vec();
        let sealed = first.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound(table, row), &mut text);
        sealed.map_err(|_| Error::Internal("a secret could not be encrypted".into()))?;
        Ok([&[FORM], &first.id[..], &nonce, &text].concat())
    }

    /// The secret of a row, encrypted or from before there was a key.
    ///
    /// # Errors
    /// [`Error::Internal`] when its key is not here, or it is another row's.
    pub(crate) fn decrypt(&self, table: &str, row: &[u8], kept: &[u8]) -> Result<Vec<u8>> {
        let Some((id, nonce, text)) = parts(kept) else { return Ok(kept.to_vec()) };
        let words = |what: &str| Error::Internal(format!("a secret in {table} cannot be read: {what}"));
        let key = self.keys.get(id).ok_or_else(|| words(&format!("its key {} is not here", hex(id))))?;
        let mut text = text.to_vec();
        let opened = key.key.open_in_place(Nonce::assume_unique_for_key(*nonce), bound(table, row), &mut text);
        opened.map(|secret| secret.to_vec()).map_err(|_| words("it was changed, or is another row's"))
    }

    /// Whether it is encrypted with a key that is not here.
    fn is_lost(&self, kept: &[u8]) -> bool {
        parts(kept).is_some_and(|(id, ..)| !self.keys.0.iter().any(|key| key.id == id))
    }

    /// The same secret encrypted with the first key; none if it is already.
    fn renewed(&self, table: &str, row: &[u8], kept: &[u8]) -> Result<Option<Vec<u8>>> {
        let is_current = parts(kept).is_some_and(|(id, ..)| self.first.as_ref().is_some_and(|first| first.id == id));
        match is_current {
            true => Ok(None),
            false => self.encrypt(table, row, &self.decrypt(table, row, kept)?).map(Some),
        }
    }
}

/// Key id, nonce and the rest of what is encrypted. None of what is not: secrets of webhooks are shorter, and signing keys (PKCS #8) begin with
/// another byte.
fn parts(kept: &[u8]) -> Option<(&[u8], &[u8; NONCE_LEN], &[u8])> {
    let (id, rest) = kept.strip_prefix(&[FORM])?.split_at_checked(ID_LEN)?;
    let (nonce, text) = rest.split_first_chunk()?;
    (text.len() > AES_256_GCM.tag_len()).then_some((id, nonce, text))
}

fn bound(table: &str, row: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([table.as_bytes(), &[0], row].concat())
}

async fn known(tx: &mut Tx) -> Result<Vec<Vec<u8>>> {
    Ok(tx.read_all(sql!("SELECT id FROM secret_keys ORDER BY created_at, id"), &[]).await?)
}

async fn unencrypted_webhooks(tx: &mut Tx, encryption: &Encryption) -> Result<i64> {
    let statement = sql!(
        "SELECT organization_id, id, secret, old_secret FROM webhooks WHERE length(secret) = 32 ORDER BY organization_id, id LIMIT $1"
    );
    let rows: Vec<WebhookSecrets> = tx.read_all(statement, params![STEP]).await?;
    let number = rows.len() as i64;
    for row in rows {
        renew_webhook(tx, encryption, row).await?;
    }
    Ok(number)
}

/// Encrypts webhooks after this one with the first key. Returns how many were not, and the last one if there may be more.
async fn other_webhooks(tx: &mut Tx, encryption: &Encryption, after: (Uuid, Uuid)) -> Result<(i64, Option<(Uuid, Uuid)>)> {
    let statement = sql!(
        "SELECT organization_id, id, secret, old_secret FROM webhooks WHERE (organization_id, id) > ($1, $2)
         ORDER BY organization_id, id LIMIT $3"
    );
    let rows: Vec<WebhookSecrets> = tx.read_all(statement, params![after.0, after.1, STEP]).await?;
    let is_last = (rows.len() as i64) < STEP;
    let (mut number, mut last) = (0, after);
    for row in rows {
        let (webhook, is_renewed) = renew_webhook(tx, encryption, row).await?;
        (last, number) = (webhook, number + i64::from(is_renewed));
    }
    Ok((number, (!is_last).then_some(last)))
}

/// A webhook's organization, itself, its secret and the one before that.
type WebhookSecrets = (Uuid, Uuid, Vec<u8>, Option<Vec<u8>>);

async fn renew_webhook(tx: &mut Tx, encryption: &Encryption, row: WebhookSecrets) -> Result<((Uuid, Uuid), bool)> {
    let (organization, id, secret, old) = row;
    let renewed = |kept: &[u8]| match encryption.is_lost(kept) {
        // An operator has decided to go on without that key: the secret stays as it is until it is rotated.
        true => Ok(None),
        false => encryption.renewed(WEBHOOKS, id.as_bytes(), kept),
    };
    let (secret, old) = (renewed(&secret)?, old.map(|old| renewed(&old)).transpose()?.flatten());
    let is_renewed = secret.is_some() || old.is_some();
    if is_renewed {
        let update = sql!(
            "UPDATE webhooks SET secret = coalesce($3, secret), old_secret = coalesce($4, old_secret) WHERE organization_id = $1 AND id = $2"
        );
        tx.execute(update, params![organization, id, secret.as_deref(), old.as_deref()]).await?;
    }
    Ok(((organization, id), is_renewed))
}

/// Encrypts the signing keys with the first key, and forgets all others.
async fn signing_keys(tx: &mut Tx, encryption: &Encryption) -> Result<i64> {
    let mut number = 0;
    for (id, kept) in tx.read_all::<(String, Vec<u8>)>(sql!("SELECT id, private_key FROM signing_keys"), &[]).await? {
        if let Some(renewed) = encryption.renewed(SIGNING_KEYS, id.as_bytes(), &kept)? {
            tx.execute(sql!("UPDATE signing_keys SET private_key = $2 WHERE id = $1"), params![&id, &renewed[..]]).await?;
            number += 1;
        }
    }
    if let Some(first) = &encryption.first {
        tx.execute(sql!("DELETE FROM secret_keys WHERE id <> $1"), params![&first.id[..]]).await?;
    }
    Ok(number)
}

fn missing_words(missing: &[String], keys: &SecretKeys, source: &KeySource) -> String {
    let given = match (keys.0.is_empty(), source) {
        (false, KeySource::Beside(file)) => format!("{} has {}", file.display(), keys.names()),
        (false, KeySource::Keys(_)) => format!("given was {}", keys.names()),
        (true, KeySource::Beside(file)) => format!("there is no {}", file.display()),
        (true, KeySource::Keys(_)) => "none was given".to_owned(),
    };
    format!(
        "the secrets in this database are encrypted with the secret key {}, and {given}: name the file that has it with --secret-key-file, or set \
         FREEHOLD_SECRET_KEY to it. Backups do not hold it",
        missing.join(" and ")
    )
}

/// Makes the file with a new key.
fn make(file: &Path) -> Result<SecretKeys> {
    let refused = |error: std::io::Error| Error::Malformed(format!("cannot make a secret key in {}: {error}", file.display()));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sql::make_folder(folder).map_err(refused)?;
    let text = BASE64.encode(deletion::random::<32>()?);
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(refused)?;
    written.write_all(format!("{text}\n").as_bytes()).and_then(|()| written.sync_all()).map_err(refused)?;
    // Before anything is encrypted with it, its name is on the disk too.
    sql::sync_name(file).map_err(refused)?;
    let keys = SecretKeys::parse(&text)?;
    tracing::warn!(
        file = %file.display(),
        key = keys.names(),
        "made a key that encrypts the secrets in the database. Keep a copy of it, but not with the backups: without it a backup cannot be used, and \
         beside it the encryption protects nothing"
    );
    Ok(keys)
}

/// Keeps other users of the machine out of the file beside the database.
fn narrow(file: &Path) -> Result<()> {
    match fs::metadata(file) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => fs::set_permissions(file, Permissions::from_mode(0o600)).map_err(|error| {
            Error::Malformed(format!(
                "other users can read {0}, and that cannot be changed ({error}): run chmod 600 {0} as its owner",
                file.display()
            ))
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(keys: &[u8]) -> Encryption {
        let keys = SecretKeys(keys.iter().map(|byte| SecretKey::new(&[*byte; 32]).unwrap()).collect());
        Encryption { first: keys.0.first().cloned(), keys }
    }

    #[test]
    fn a_secret_is_read_in_its_row_with_its_key_and_nowhere_else() {
        let secret = [7; 32];
        let kept = with(&[1]).encrypt(WEBHOOKS, b"row", &secret).unwrap();
        assert_ne!(kept, with(&[1]).encrypt(WEBHOOKS, b"row", &secret).unwrap(), "the nonce is another each time");
        assert!(!kept.windows(32).any(|window| window == secret));
        assert_eq!(with(&[1]).decrypt(WEBHOOKS, b"row", &kept).unwrap(), secret);
        assert_eq!(with(&[2, 1]).decrypt(WEBHOOKS, b"row", &kept).unwrap(), secret);
        let other_key = with(&[2]).decrypt(WEBHOOKS, b"row", &kept).unwrap_err().to_string();
        assert!(other_key.contains(&hex(&SecretKey::new(&[1; 32]).unwrap().id)), "{other_key}");
        with(&[1]).decrypt(WEBHOOKS, b"another row", &kept).unwrap_err();
        with(&[1]).decrypt(SIGNING_KEYS, b"row", &kept).unwrap_err();
        for place in 1 + ID_LEN..kept.len() {
            let mut changed = kept.clone();
            changed[place] ^= 1;
            with(&[1]).decrypt(WEBHOOKS, b"row", &changed).unwrap_err();
        }
    }

    #[test]
    fn what_is_from_before_is_read_as_it_is_and_encrypted_once() {
        // Whatever a plain secret begins with.
        let plain = [FORM; 32];
        assert_eq!(with(&[]).encrypt(WEBHOOKS, b"row", &plain).unwrap(), plain);
        assert_eq!(with(&[1]).decrypt(WEBHOOKS, b"row", &plain).unwrap(), plain);
        let renewed = with(&[1]).renewed(WEBHOOKS, b"row", &plain).unwrap().unwrap();
        assert_eq!(with(&[1]).renewed(WEBHOOKS, b"row", &renewed).unwrap(), None);
        let rotated = with(&[2, 1]).renewed(WEBHOOKS, b"row", &renewed).unwrap().unwrap();
        assert_eq!(with(&[2]).decrypt(WEBHOOKS, b"row", &rotated).unwrap(), plain);
    }

    #[test]
    fn keys_are_read_with_comments_and_a_bad_one_is_told_by_its_place_alone() {
        let text = format!("# the new one\n{}\n{} # the old one\n", BASE64.encode([1; 32]), BASE64.encode([2; 32]));
        assert_eq!(SecretKeys::parse(&text).unwrap().0.len(), 2);
        assert_eq!(SecretKeys::parse(&format!("{},{}", BASE64.encode([1; 32]), BASE64.encode([2; 32]))).unwrap().0.len(), 2);
        for bad in ["", "# nothing\n", "hunter2", &BASE64.encode([1; 31]), &format!("{}hunter2", BASE64.encode([1; 32]))] {
            let words = SecretKeys::parse(bad).unwrap_err().to_string();
            assert!(words.contains("openssl rand -base64 32") && !words.contains("hunter2"), "{words}");
        }
        let debug = format!("{:?}", SecretKeys::parse(&text).unwrap());
        assert!(!debug.contains(&BASE64.encode([1; 32])), "{debug}");
    }
}
