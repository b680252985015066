//! Asking the person at the terminal: passwords without echo, and the name of what is to be deleted.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failure::{Failure, Result};

/// A password: typed without echo at a terminal, else the first line of standard input.
pub(crate) fn password(is_new: bool) -> Result<String> {
    if !io::stdin().is_terminal() {
        return first_line();
    }
    let password = rpassword::prompt_password("Password: ")?;
    if is_new && rpassword::prompt_password("Again: ")? != password {
        return Err(Failure::usage("The two passwords differ."));
    }
    Ok(password)
}

/// A secret of another kind, in the same manner.
pub(super) fn secret(question: &str) -> Result<String> {
    if !io::stdin().is_terminal() {
        return first_line();
    }
    Ok(rpassword::prompt_password(question)?)
}

/// The first line of standard input.
pub(super) fn first_line() -> Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The password that is good now and the one to take its place: typed at a terminal, else the first two lines of standard input.
pub(super) fn new_password() -> Result<(String, String)> {
    if !io::stdin().is_terminal() {
        return Ok((first_line()?, first_line()?));
    }
    let current = rpassword::prompt_password("Current password: ")?;
    Ok((current, password(true)?))
}

/// Whether the person at the terminal will be asked, since the command line does not confirm.
pub(super) fn will_ask(yes: Option<&str>) -> bool {
    yes.is_none() && io::stdin().is_terminal()
}

/// Makes sure that the deletion is meant: `--yes`, or what is typed at the terminal, has to be one of the names exactly. The first is the one
/// asked for.
pub(super) fn confirm(names: &[String], yes: Option<&str>) -> Result {
    let name = names.first().map_or("", String::as_str);
    let fits = |given: &str| names.iter().any(|name| name == given);
    match yes {
        Some(given) if fits(given) => return Ok(()),
        Some(_) => return Err(Failure::unconfirmed(format!("Nothing was deleted: --yes must be exactly {name}."))),
        None if !will_ask(yes) => {
            return Err(Failure::unconfirmed(format!("Nothing was deleted: no one is there to ask. Confirm with --yes {name}.")));
        }
        None => {}
    }
    write!(io::stderr(), "Type {name} to delete it: ")?;
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if fits(line.trim()) { Ok(()) } else { Err(Failure::unconfirmed(format!("Nothing was deleted: that was not {name}."))) }
}
