//! The configuration file: the server's settings in TOML, under the long names of its flags. A setting is a flag that has an environment variable;
//! all that is known of it here comes from the command line's own description. The file's values take the place of the defaults, so that flag and
//! environment go before them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use plane::fields::nearest;
use toml::de::{DeTable, DeValue};

use crate::{Cli, fail, say};

/// The flag that names the file. Commands that have it read the file.
const CONFIG: &str = "config";
const CHECK: &str = "check-config";

/// What the command line comes to.
pub(crate) enum Parsed {
    Command(Box<Cli>),
    /// It was to be checked, and the outcome is told.
    Checked(ExitCode),
}

/// Reads the command line, the environment and the file that one of them names.
///
/// # Errors
/// What is wrong with the command line or the environment, or all that is wrong with the file.
pub(crate) fn parse() -> Result<Parsed, clap::Error> {
    let mut command = Cli::command();
    let settings: Vec<Arg> = match command.find_subcommand("serve") {
        Some(serve) => serve.get_arguments().filter(|arg| is_setting(arg)).cloned().collect(),
        None => Vec::new(),
    };
    // What is to be checked is taken as it is, to tell all that is wrong and not the first.
    let as_it_is = |arg: Arg| if is_setting(&arg) { arg.value_parser(clap::value_parser!(String)) } else { arg };
    let lenient = command.clone().mut_subcommand(CHECK, |check| check.mut_args(as_it_is));
    let matches = lenient.clone().try_get_matches()?;
    let file = config_of(&matches).map(|path| File::read(&path, &settings, &command));
    let with_file = |command: Command| match &file {
        Some(file) => with_defaults(command, &file.entries).try_get_matches(),
        None => Ok(matches.clone()),
    };
    if matches.subcommand_name() == Some(CHECK) {
        let matches = with_file(lenient)?;
        let given = matches.subcommand_matches(CHECK).unwrap_or(&matches);
        return Ok(Parsed::Checked(check(given, &settings, file.as_ref())));
    }
    if let Some(file) = file.as_ref().filter(|file| !file.problems.is_empty()) {
        return Err(command.error(ErrorKind::ValueValidation, file.problems.join("\n")));
    }
    Cli::from_arg_matches(&with_file(command)?).map(|cli| Parsed::Command(Box::new(cli)))
}

/// Whether a configuration file has a value that is not to be shown: of the database's address only a password is.
pub(crate) fn holds_secrets(path: &Path) -> bool {
    let command = Cli::command();
    let settings: Vec<Arg> = command.find_subcommand("serve").into_iter().flat_map(|serve| serve.get_arguments().cloned()).collect();
    let file = File::read(path, &settings, &command);
    settings.iter().filter(|setting| setting.is_hide_env_values_set()).any(|setting| {
        file.entries.get(name(setting)).is_some_and(|entry| match name(setting) {
            "database-url" => {
                let user = entry.value.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'));
                user.is_some_and(|(user, _)| user.contains(':')) || entry.value.contains("password=")
            }
            _ => true,
        })
    })
}

/// Warns when other users of this machine can read a configuration file that holds a secret.
pub(crate) fn warn_of_readers(path: &Path) {
    if fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o007 != 0) && holds_secrets(path) {
        tracing::warn!(file = %path.display(), "other users of this machine can read the secrets in the configuration file: run chmod o= on it");
    }
}

fn is_setting(arg: &Arg) -> bool {
    arg.get_env().is_some() && arg.get_long().is_some() && arg.get_id() != CONFIG
}

fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

/// The file that a command is to read, if it reads one.
fn config_of(matches: &ArgMatches) -> Option<PathBuf> {
    let (_, below) = matches.subcommand()?;
    match below.try_get_one::<PathBuf>(CONFIG) {
        Ok(path) => path.cloned(),
        Err(_) => config_of(below),
    }
}

/// The same command, with the file's values in the place of its defaults.
fn with_defaults(mut command: Command, entries: &BTreeMap<String, Entry>) -> Command {
    if command.get_arguments().any(|arg| arg.get_id() == CONFIG) {
        command = command.mut_args(|arg| match entries.get(name(&arg)) {
            Some(entry) if is_setting(&arg) => arg.default_value(entry.value.clone()),
            _ => arg,
        });
    }
    command.mut_subcommands(|below| with_defaults(below, entries))
}

/// A setting in the file.
struct Entry {
    value: String,
    line: usize,
}

/// What a file says, and all that is wrong with it, each with its place.
struct File {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
    problems: Vec<String>,
}

impl File {
    fn read(path: &Path, settings: &[Arg], command: &Command) -> File {
        let mut file = File { path: path.to_owned(), entries: BTreeMap::new(), problems: Vec::new() };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                file.problems.push(format!("the configuration file {} cannot be read: {error}", path.display()));
                return file;
            }
        };
        let line = |place: usize| text.as_bytes().iter().take(place).filter(|byte| **byte == b'\n').count() + 1;
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in errors {
            file.refuse(line(error.span().map_or(0, |span| span.start)), error.message().lines().collect::<Vec<_>>().join("; "));
        }
        for (key, value) in table.get_ref() {
            let (key, line) = (key.get_ref().as_ref(), line(key.span().start));
            let Some(setting) = settings.iter().find(|setting| name(setting) == key) else {
                file.refuse(line, unknown(key, settings, command));
                continue;
            };
            let Some(value) = plain(value.get_ref()) else {
                file.refuse(line, format!("{key} must be a text, a number, or a list of them"));
                continue;
            };
            if let Some(words) = refusal(setting, &value) {
                file.refuse(line, format!("{key}: {words}"));
            }
            file.entries.insert(key.to_owned(), Entry { value, line });
        }
        file
    }

    fn refuse(&mut self, line: usize, words: String) {
        self.problems.push(format!("{}:{line}: {words}", self.path.display()));
    }
}

fn unknown(key: &str, settings: &[Arg], command: &Command) -> String {
    let mut of_one_start = command.find_subcommand("serve").into_iter().flat_map(Command::get_arguments).filter(|arg| !is_setting(arg));
    if of_one_start.any(|arg| arg.get_long() == Some(key)) {
        return format!("{key} is no setting: it is for the command line");
    }
    match nearest(&key.replace('_', "-"), settings.iter().map(name)) {
        Some(nearest) => format!("there is no setting {key}: is {nearest} meant?"),
        None => format!("there is no setting {key}: those there are, are the long flags of `freehold serve --help`"),
    }
}

/// A value as the command line has it: a list with commas.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Array(list) => {
            let each = list.iter().map(|one| plain(one.get_ref()).filter(|_| !matches!(one.get_ref(), DeValue::Array(_))));
            each.collect::<Option<Vec<_>>>().map(|all| all.join(","))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// Why a setting cannot have this value. Nothing of a secret one.
fn refusal(setting: &Arg, value: &str) -> Option<String> {
    let alone = Command::new("freehold").no_binary_name(true).arg(setting.clone().env(Resettable::Reset));
    let error = alone.try_get_matches_from([format!("--{}={value}", name(setting))]).err()?;
    if setting.is_hide_env_values_set() {
        return Some("it cannot have this value, which is not shown".into());
    }
    let words = error.to_string();
    let lines = words.lines().map(str::trim).take_while(|line| !line.is_empty());
    Some(lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned())
}

/// Tells all that is wrong, or each setting with its value and where that comes from.
fn check(given: &ArgMatches, settings: &[Arg], file: Option<&File>) -> ExitCode {
    let mut problems: Vec<String> = file.map(|file| file.problems.clone()).unwrap_or_default();
    let mut lines = Vec::new();
    for setting in settings {
        let id = setting.get_id().as_str();
        let values = given.get_raw(id).map(|values| values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(","));
        let entry = file.and_then(|file| file.entries.get(name(setting)).map(|entry| format!("{}:{}", file.path.display(), entry.line)));
        let variable = setting.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let from = match (given.value_source(id), entry) {
            (Some(ValueSource::CommandLine), _) => format!("--{}", name(setting)),
            (Some(ValueSource::EnvVariable), _) => variable,
            (_, Some(entry)) => entry,
            (Some(_), None) => "default".into(),
            (None, None) => "not set".into(),
        };
        let is_of_the_file = file.is_some_and(|file| from.starts_with(&*file.path.to_string_lossy()));
        if let Some(words) = values.as_deref().filter(|_| !is_of_the_file).and_then(|value| refusal(setting, value)) {
            problems.push(format!("{from}: {words}"));
        }
        let shown = match (&values, setting.is_hide_env_values_set()) {
            (Some(_), true) => "(not shown)",
            (Some(value), false) => value,
            (None, _) => "",
        };
        lines.push(format!("{:<34} {shown:<34} {from}", name(setting)));
    }
    if problems.is_empty() {
        lines.iter().for_each(|line| say(line.trim_end()));
        return ExitCode::SUCCESS;
    }
    fail(&format!("the configuration cannot be used:\n{}", problems.join("\n")), ExitCode::FAILURE)
}
