//! `freehold add-operator`: the first person who may read the audit trail of what is gone has to come from somewhere.

use std::io::BufRead;

use clap::Args;
use plane::users::{self, NewUser};
use plane::{Clock, Config, Cx, Error, Plane};

use crate::{DatabaseArgs, Outcome, say};

#[derive(Args)]
pub(crate) struct AddOperatorArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The person's address.
    #[arg(long)]
    email: String,
}

pub(crate) async fn add(args: AddOperatorArgs) -> Outcome {
    let mut password = String::new();
    std::io::stdin().lock().read_line(&mut password)?;
    let new =
        NewUser { email: args.email.clone(), password: password.trim_end_matches(['\r', '\n']).into(), name: None, is_operator: true };
    let plane = Plane::open(Config::new(args.database.options()), Clock::default()).await?;
    let made = users::sign_up(&Cx::new(&plane, "add-operator"), new).await.map_err(|error| match error {
        Error::Invalid(errors) => {
            let words: Vec<String> = errors.first().iter().map(|error| format!("{} {}", error.field, error.message)).collect();
            words.join("; ")
        }
        other => other.to_string(),
    })?;
    match made {
        Some(id) => {
            say(&format!("{} is an operator now, with the id {id}.", args.email));
            Ok(())
        }
        None => Err(format!("{} has an account already: use another address", args.email).into()),
    }
}
