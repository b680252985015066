//! `freehold operators`: who runs this server, and a new password for a person who forgot theirs. The first operator has to come from somewhere,
//! so these commands open the database themselves, while no server uses it: a server that runs would go on as it remembers.

use clap::{Args, Subcommand};
use plane::cx::Actor;
use plane::users::{self, NewUser, operators};
use plane::{Clock, Config, Cx, Error, Plane};

use crate::client::prompt;
use crate::{DatabaseArgs, Outcome, SecretKeyArgs, say};

#[derive(Subcommand)]
pub(crate) enum Operators {
    /// List the operators of this server.
    List(PlaceArgs),
    /// Make an operator. The password is asked for at a terminal, else read from standard input.
    Add {
        #[command(flatten)]
        person: PersonArgs,
        /// Make an account that is there an operator, with the password that it has.
        #[arg(long)]
        existing: bool,
    },
    /// Make an operator an account like any other, and end their sessions. The last one stays.
    Remove(PersonArgs),
    /// Give a person who forgot theirs a new password, and end their sessions. It is asked for at a terminal, else read from standard input.
    SetPassword(PersonArgs),
}

/// The database, and the key of its secrets.
#[derive(Args)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    secret_key: SecretKeyArgs,
}

impl PlaceArgs {
    fn config(&self) -> Outcome<Config> {
        let mut config = Config::new(self.database.options());
        config.secret_keys = self.secret_key.source(&self.database)?;
        Ok(config)
    }
}

#[derive(Args)]
pub(crate) struct PersonArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The person's address.
    #[arg(long)]
    email: String,
}

pub(crate) async fn run(command: Operators) -> Outcome {
    match command {
        Operators::List(place) => {
            let plane = Plane::open(place.config()?, Clock::default()).await?;
            for operator in operators::list(&Cx::new(&plane, "operators").with_actor(Actor::System)).await? {
                say(&format!("{}  {}  {}  since {}", operator.id, operator.email, operator.name, operator.created_at));
            }
            Ok(())
        }
        Operators::Add { person, existing: false } => add(person).await,
        Operators::Add { person, existing: true } => {
            let cx = alone(&person.place).await?;
            let id = operators::add(&cx, &person.email).await?;
            end(&cx).await?;
            say(&format!("{} is an operator now, with the id {id}. Their sessions have ended.", person.email));
            Ok(())
        }
        Operators::Remove(person) => {
            let cx = alone(&person.place).await?;
            operators::remove(&cx, &person.email, false).await?;
            end(&cx).await?;
            say(&format!("{} is no operator any more. Their sessions have ended.", person.email));
            Ok(())
        }
        Operators::SetPassword(person) => {
            let cx = alone(&person.place).await?.with_actor(Actor::System);
            let password = prompt::password(true).map_err(|failure| failure.words())?;
            users::reset_password(&cx, &person.email, password).await.map_err(words)?;
            end(&cx).await?;
            say(&format!("{} has a new password. Their sessions have ended; their API keys go on.", person.email));
            Ok(())
        }
    }
}

/// A context in the database, which no server uses meanwhile.
pub(crate) async fn alone(place: &PlaceArgs) -> Outcome<Cx> {
    let mut config = place.config()?;
    config.database.is_server = true;
    config.ledger = Some(place.database.ledger());
    Ok(Cx::new(&Plane::open(config, Clock::default()).await?, "operators"))
}

/// Ends it, when the ledger has what was done.
pub(crate) async fn end(cx: &Cx) -> Outcome {
    cx.plane.close().await;
    match cx.plane.ledger_state().is_some_and(|ledger| ledger.waiting > 0) {
        true => {
            let words = "it is done, but the ledger cannot be written: a database that is restored from before would not know of it. Mend its disk, and start \
                         the server: it adds what is missing";
            Err(words.into())
        }
        false => Ok(()),
    }
}

/// What is wrong with what was typed, field by field.
fn words(error: Error) -> String {
    match error {
        Error::Invalid(errors) => {
            let words: Vec<String> = errors.first().iter().map(|error| format!("{} {}", error.field, error.message)).collect();
            words.join("; ")
        }
        other => other.to_string(),
    }
}

async fn add(person: PersonArgs) -> Outcome {
    let password = prompt::password(true).map_err(|failure| failure.words())?;
    let new = NewUser { email: person.email.clone(), password, name: None, is_operator: true };
    let plane = Plane::open(person.place.config()?, Clock::default()).await?;
    match users::sign_up(&Cx::new(&plane, "operators"), new).await.map_err(words)? {
        Some(id) => {
            say(&format!("{} is an operator now, with the id {id}.", person.email));
            Ok(())
        }
        None => {
            Err(format!("{} has an account already: use another address, or --existing to make that account an operator", person.email)
                .into())
        }
    }
}
