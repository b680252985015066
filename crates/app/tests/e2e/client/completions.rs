//! Completions and help.

use tokio::process::Command;

async fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_freehold")).args(arguments).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn every_shell_completes_every_group_of_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]).await;
        for word in ["organizations", "customers", "deletions", "watch", "idempotency-key"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[tokio::test]
async fn help_says_what_exit_codes_mean() {
    for arguments in [&["--help"][..], &["organizations", "--help"], &["audit", "--help"]] {
        let help = printed(arguments).await;
        assert!(help.contains("7  too many requests"), "{help}");
    }
}
