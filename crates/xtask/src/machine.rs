//! The machine this runs on: the programs it has, and how those that are missing are installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// Installs packages of Debian when this program is root and the machine has `apt-get`; fails with the remedy where it cannot.
pub(crate) fn install(packages: &[&str], remedy: &str) -> Result {
    if !is_root() || in_path(&["apt-get"]).is_none() {
        return Err(remedy.into());
    }
    eprintln!("   installing with apt-get: {}", packages.join(", "));
    run(apt().arg("update"))?;
    run(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet=2").env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}

/// Unpacks packages of Debian into a folder, without installing them: what is a service would be started. Each has this program, and those that the
/// machine has are left out.
pub(crate) fn unpack(packages: &[(&str, &str)], folder: &Path, remedy: &str) -> Result {
    let is_there = |program: &str| in_path(&[program]).is_some() || unpacked(folder).iter().any(|place| holds(place, &[program]));
    let missing: Vec<&str> = packages.iter().filter(|(_, program)| !is_there(program)).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if in_path(&["apt-get", "dpkg"]).is_none() {
        return Err(remedy.into());
    }
    eprintln!("   unpacking from Debian: {}", missing.join(", "));
    std::fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    if is_root() {
        run(apt().arg("update"))?;
    }
    run(apt().arg("download").args(&missing).current_dir(folder)).map_err(|words| format!("{words}\n{remedy}"))?;
    for file in std::fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?.flatten() {
        if file.path().extension().is_some_and(|ending| ending == "deb") {
            run(Command::new("dpkg").arg("-x").arg(file.path()).arg(folder))?;
        }
    }
    Ok(())
}

/// Where the programs of unpacked packages are.
pub(crate) fn unpacked(folder: &Path) -> [PathBuf; 2] {
    [folder.join("usr/sbin"), folder.join("usr/bin")]
}

/// Whether this program may do everything here.
pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|told| told.stdout.trim_ascii() == b"0")
}

/// Whether this machine runs Debian itself, and no other system with its tools.
pub(crate) fn is_debian() -> bool {
    std::fs::read_to_string("/etc/os-release").is_ok_and(|text| text.lines().any(|line| line.trim_end() == "ID=debian"))
}

/// The first folder of `PATH` that has all these programs.
pub(crate) fn in_path(programs: &[&str]) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).find(|folder| holds(folder, programs))
}

/// Whether a folder has all these programs.
pub(crate) fn holds(folder: &Path, programs: &[&str]) -> bool {
    programs.iter().all(|program| folder.join(program).is_file())
}

/// Runs a command to its end; its words are only shown when it fails.
pub(crate) fn run(command: &mut Command) -> Result {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
    let told = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    match told.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{name} failed with {}:\n{}{}",
            told.status,
            String::from_utf8_lossy(&told.stdout),
            String::from_utf8_lossy(&told.stderr)
        )),
    }
}
