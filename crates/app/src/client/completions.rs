//! `freehold completions`: a script for the shell, made from the commands themselves.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::failure::Result;
use super::output::print;
use crate::Cli;

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell. For bash: `source <(freehold completions bash)`.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result {
    // Into memory first: its reader may go away early.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "freehold", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}
