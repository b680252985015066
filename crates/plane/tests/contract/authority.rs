//! Who writes without an actor's right being confirmed, and who ends access past the one function for that: read from the source, so that the next
//! operation cannot forget either.

use std::path::Path;

/// Files that write as the server, with the number of places and why no actor's right is asked for.
const AS_SERVER: [(&str, usize, &str); 16] = [
    ("doctor/repair.rs", 2, "the operator at the command line"),
    ("kernel/rights/authority.rs", 2, "the confirmation itself"),
    ("kernel/trail/audit.rs", 2, "an attempt that was refused is written down, and a password that was"),
    ("nouns/customers/delete.rs", 1, "several actors' deletions in one transaction, each confirmed there"),
    ("nouns/keys/api_keys/expiring.rs", 1, "the job that tells of keys that are about to end"),
    ("nouns/keys/oauth_tokens/mod.rs", 3, "an app proves itself by its secret, or by a token"),
    ("nouns/keys/signing_key_rotation.rs", 1, "the job that erases keys whose tokens have ended"),
    ("nouns/organization/billing/events.rs", 2, "what Stripe signs"),
    ("nouns/organization/webhooks.rs", 1, "the job that erases secrets whose time is over"),
    ("nouns/people/sessions.rs", 2, "a person proves themselves by a password, or by a refresh token"),
    ("nouns/people/users/mod.rs", 2, "anybody may sign up; the operator at the command line resets passwords"),
    ("nouns/people/users/operators.rs", 2, "the operator at the command line"),
    ("work/idempotency.rs", 4, "the answers to requests, whatever they do"),
    ("work/maintenance.rs", 1, "the job that writes down when keys were used"),
    ("work/orphans.rs", 1, "the job that ends what has lost its maker"),
    ("work/outbox/finishing.rs", 1, "the job that carries the outbox out"),
];

/// How often each source file of the plane has a text, as `folder/file.rs`.
fn occurrences(text: &str) -> Vec<(String, usize)> {
    fn walk(folder: &Path, root: &Path, text: &str, found: &mut Vec<(String, usize)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, text, found);
                continue;
            }
            let times = std::fs::read_to_string(&path).unwrap().matches(text).count();
            if times > 0 {
                found.push((path.strip_prefix(root).unwrap().display().to_string(), times));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, text, &mut found);
    found.sort();
    found
}

#[test]
fn only_what_needs_no_right_of_an_actor_is_written_as_the_server() {
    let known: Vec<(String, usize)> = AS_SERVER.iter().map(|(file, places, _)| ((*file).to_owned(), *places)).collect();
    assert_eq!(occurrences(".write_as_server("), known, "write with Tenant::write or Cx::write_own, or say here why no right is needed");
}

#[test]
fn access_ends_through_one_door() {
    assert_eq!(
        occurrences(".credential_cache.invalidate("),
        [("kernel/rights/authority.rs".to_owned(), 1)],
        "end access with authority::revoke"
    );
}

/// Files in which access ends or becomes less, with the number of places, and how the ledger hears of each.
const ENDINGS: [(&str, usize, &str); 12] = [
    ("deletions/orders/ordering.rs", 1, "the deletion"),
    ("deletions/revoke_credentials.rs", 1, "a deletion that is taken back, or an archive"),
    ("nouns/keys/api_keys/mod.rs", 1, "the key's digest"),
    ("nouns/keys/api_keys/personal.rs", 3, "the key's digest"),
    ("nouns/keys/api_keys/rotation.rs", 1, "the key's digest"),
    ("nouns/keys/oauth_apps/mod.rs", 1, "the app's digest"),
    ("nouns/keys/oauth_tokens/mod.rs", 4, "nothing: every token ends in an older state"),
    ("nouns/people/members.rs", 1, "the role"),
    ("nouns/people/sessions.rs", 4, "nothing: every session ends in an older state"),
    ("nouns/people/users/mod.rs", 1, "nothing: the name was changed"),
    ("nouns/people/users/operators.rs", 1, "whether they are an operator"),
    ("work/orphans.rs", 1, "the deletion"),
];

#[test]
fn the_ledger_hears_of_all_that_ends_access() {
    let mut found = occurrences("revoke(cx, tx, ");
    for (file, places) in occurrences("revoke(&cx, tx, ").into_iter().chain(occurrences("end(cx, tx, ")) {
        match found.iter_mut().find(|(known, _)| *known == file) {
            Some((_, all)) => *all += places,
            None => found.push((file, places)),
        }
    }
    found.sort();
    let known: Vec<(String, usize)> = ENDINGS.iter().map(|(file, places, _)| ((*file).to_owned(), *places)).collect();
    assert_eq!(found, known, "tell the ledger what is to stay so in a restored database, and say here how");
}
