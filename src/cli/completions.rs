//! `zoo completions SHELL`: a completion script made from the same command table as `--help`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Context, Status};
use crate::error::Result;

/// Arguments of `zoo completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell to complete in
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "zoo", &mut script);
    context.print(script)?;
    Ok(Status::Success)
}
