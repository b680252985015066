//! The pages that are printed from the program: they differ from it or they are true. `cargo xtask bless` writes them anew.

use std::path::{Path, PathBuf};

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

fn hold(name: &str, printed: &str) {
    if std::env::var_os("FREEHOLD_BLESS").is_some() {
        std::fs::write(page(name), printed).unwrap();
    }
    let kept = std::fs::read_to_string(page(name)).unwrap_or_default();
    assert!(kept == printed, "docs/{name} is not what the program does: run `cargo xtask bless` and look at the difference");
}

#[test]
fn golden_the_policy_page_is_the_policy() {
    hold("policy.md", &plane::policy::matrix());
}

#[test]
fn golden_the_deletion_page_is_the_rules() {
    hold("deletion.md", &plane::deletions::document());
}
