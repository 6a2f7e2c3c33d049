//! `zoo man DIR`: man pages of all verbs, made from the same command table as `--help`.

use std::path::PathBuf;

use clap::CommandFactory;

use super::{Cli, Context, Status};
use crate::error::Result;
use crate::fs;

/// Arguments of `zoo man`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder to write `zoo.1`, `zoo-fetch.1` … into, made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes the pages and prints their paths.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    fs::create_dir_all(&args.folder)?;
    let mut command = Cli::command();
    command.build();
    let mut open = vec![("zoo".to_owned(), command)];
    let mut pages = Vec::new();
    while let Some((name, command)) = open.pop() {
        let subcommands = command.get_subcommands().filter(|c| !c.is_hide_set());
        open.extend(subcommands.map(|c| (format!("{name}-{}", c.get_name()), c.clone())));
        let mut page = Vec::new();
        let path = args.folder.join(format!("{name}.1"));
        clap_mangen::Man::new(command).title(name).render(&mut page).map_err(fs::at("render", &path))?;
        pages.push((path, page));
    }
    pages.sort();
    for (path, page) in pages {
        fs::write_atomic(&path, &page)?;
        context.println(path.display().to_string())?;
    }
    Ok(Status::Success)
}
