//! Asking the person at the terminal: passwords without echo, and the name of what is to be deleted.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failure::{Failure, Result};

/// A password: typed without echo at a terminal, else the first line of standard input.
pub(super) fn password(is_new: bool) -> Result<String> {
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let password = rpassword::prompt_password("Password: ")?;
    if is_new && rpassword::prompt_password("Again: ")? != password {
        return Err(Failure::usage("The two passwords differ."));
    }
    Ok(password)
}

/// Makes sure that somebody means it: `--yes`, or typed at the terminal, has to be one of the names exactly. The first is the one asked for.
pub(super) fn confirm(names: &[String], yes: Option<&str>) -> Result {
    let name = names.first().map_or("", String::as_str);
    let fits = |given: &str| names.iter().any(|name| name == given);
    match yes {
        Some(given) if fits(given) => return Ok(()),
        Some(_) => return Err(Failure::usage(format!("Nothing was deleted: --yes must be exactly {name}."))),
        None if !io::stdin().is_terminal() => {
            return Err(Failure::usage(format!("Nothing was deleted: nobody is there to ask. Confirm with --yes {name}.")));
        }
        None => {}
    }
    write!(io::stderr(), "Type {name} to delete it: ")?;
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if fits(line.trim()) { Ok(()) } else { Err(Failure::other(format!("Nothing was deleted: that was not {name}."))) }
}
