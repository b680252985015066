//! Blocks of pages that need a place of their own: pasted into a shell as they stand, but for the folders and addresses that a reader puts his own for.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// How long a block may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that a block starts is asked whether it is ready, and stopped before the next line.
const PRELUDE: &str = r#"
set -euo pipefail
freehold() {
    if [ "$1" != serve ]; then command freehold "$@"; return; fi
    coproc SERVER { exec freehold "$@" 2>served; }
    read -r line <&"${SERVER[0]}" || { cat served; return 1; }
    url=${line#*listens on } url=${url%% *}
    curl --fail --silent --show-error "$url/health/ready"
    local server=$SERVER_PID
    kill -TERM "$server"
    wait "$server"
}
"#;

/// The block of a page that begins like this.
pub fn block(page: &str, beginning: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = std::fs::read_to_string(file).unwrap();
    let found = text.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n').map(|(_, text)| text));
    found.filter(|text| text.starts_with(beginning)).map(str::to_owned).next().unwrap_or_else(|| panic!("{page} has no block {beginning}"))
}

/// Runs it in a folder, with these variables in its environment, to its end, and returns what it said.
pub async fn paste(text: &str, folder: &Path, variables: &[(&str, &str)]) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_freehold")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!("{PRELUDE}\n{text}")).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command.env_clear().env("PATH", path).env("HOME", folder).env("LANG", "C.UTF-8").env("FREEHOLD_LISTEN", "127.0.0.1:0");
    command.envs(variables.iter().copied());
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("the block comes to its end").unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} at\n{text}\nwhich said\n{said}", output.status);
    assert!(!said.contains("\"error_code\":"), "{text}\nsaid\n{said}");
    said
}
