//! `zoo help [VERB…|env]`: the same help as `--help`, and the table of environment variables.

use clap::CommandFactory;

use super::environment::VARIABLES;
use super::{Cli, Context, Status};
use crate::error::{Error, Result};

/// Arguments of `zoo help`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A verb such as `list` or `cache ls`; `env` for the environment variables
    #[arg(value_name = "TOPIC")]
    topic: Vec<String>,
}

/// Prints the help.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    if args.topic == ["env"] {
        let width = VARIABLES.iter().map(|v| v.name.len()).max().unwrap_or(0);
        for variable in VARIABLES {
            context.println(format!("{:width$}  {}", variable.name, variable.what))?;
        }
        return Ok(Status::Success);
    }
    let mut command = Cli::command();
    command.build();
    for name in &args.topic {
        command = match command.find_subcommand(name) {
            Some(found) => found.clone(),
            None => {
                let known: Vec<_> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
                let message = format!("no help on `{name}`; there is {}, and `env`", known.join(", "));
                return Err(Error::usage(message));
            }
        };
    }
    let help = command.render_long_help();
    match context.color {
        true => context.println(help.ansi().to_string())?,
        false => context.println(help.to_string())?,
    }
    Ok(Status::Success)
}
