//! `cargo xtask release`: a binary that needs nothing of the machine that it runs on but a Linux kernel. It is linked statically with musl, since
//! one that is linked with glibc asks for the symbols of the glibc that it was built with, or a newer one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};

use crate::Result;
use crate::freehold::{Freehold, target};
use crate::machine::{in_path, install};
use crate::steps::cargo;

/// The compiler for what is written in C, of Debian's package `musl-tools`.
const COMPILER: &str = "musl-gcc";

/// Builds the binary, looks whether it is what it should be, starts it once, and puts it with its checksum into `target/dist`.
pub(crate) async fn release() -> Result {
    let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    needs(&triple)?;
    let variable = format!("CC_{}", triple.replace('-', "_"));
    cargo(&["build", "--release", "--locked", "--package", "freehold", "--target", &triple], &[(&variable, COMPILER)]).await?;
    let profile = format!("{triple}/release");
    let built = target().join(&profile).join("freehold");
    let bytes = fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))?;
    if is_interpreted(&bytes)? {
        return Err(format!("{} asks for a dynamic linker: it would not run everywhere", built.display()));
    }
    let words = said(Command::new(&built).arg("--version"))?;
    let version = words.split_whitespace().nth(1).ok_or("the program does not say its version")?;
    Freehold::start(&profile, None, &[]).await?.stop().await?;
    let folder = target().join("dist");
    let name = format!("freehold-{version}-{}-linux", std::env::consts::ARCH);
    let kept = keep(&folder, &name, &built, &bytes).map_err(|error| format!("cannot write into {}: {error}", folder.display()))?;
    eprintln!("── {} ({:.1} MiB), and its checksum beside it", kept.display(), bytes.len() as f64 / 1_048_576.0);
    Ok(())
}

fn keep(folder: &Path, name: &str, built: &Path, bytes: &[u8]) -> std::io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let kept = folder.join(name);
    fs::copy(built, &kept)?;
    let sum: String = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(folder.join(format!("{name}.sha256")), format!("{sum}  {name}\n"))?;
    Ok(kept)
}

/// Installs what is missing, or fails with the command that does.
fn needs(triple: &str) -> Result {
    let libraries = said(Command::new("rustc").args(["--print", "target-libdir", "--target", triple]))?;
    if !Path::new(libraries.trim()).is_dir() {
        return Err(format!("the target {triple} is not installed: rustup target add {triple}"));
    }
    match in_path(&[COMPILER]) {
        Some(_) => Ok(()),
        None => install(&["musl-tools"], "there is no musl-gcc: apt-get install musl-tools"),
    }
}

/// What a command writes to its standard output.
fn said(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let told = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    match told.status.success() {
        true => Ok(String::from_utf8_lossy(&told.stdout).into_owned()),
        false => Err(format!("{name} failed with {}: {}", told.status, String::from_utf8_lossy(&told.stderr))),
    }
}

/// Whether an ELF file of 64 bits, little-endian, names a dynamic linker (a program header of the type `PT_INTERP`).
fn is_interpreted(file: &[u8]) -> Result<bool> {
    const PT_INTERP: u64 = 3;
    let cut = || "the binary is cut short".to_owned();
    let number = |place: usize, bytes: usize| -> Result<u64> {
        let digits = file.get(place..place + bytes).ok_or_else(cut)?;
        Ok(digits.iter().rev().fold(0, |number, digit| number << 8 | u64::from(*digit)))
    };
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return Err("the binary is no ELF file of 64 bits, little-endian".into());
    }
    let (first, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    for header in 0..count {
        let place = usize::try_from(first + header * size).map_err(|_| cut())?;
        if number(place, 4)? == PT_INTERP {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_dynamic_linker_is_told_from_one_that_does_not() {
        // This one is linked with the libraries of the machine.
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(is_interpreted(&own), Ok(true));
        let mut alone = own.clone();
        alone[0x38..0x3a].fill(0);
        assert_eq!(is_interpreted(&alone), Ok(false));
        is_interpreted(&own[..0x41]).unwrap_err();
        is_interpreted(b"#!/bin/sh").unwrap_err();
    }
}
