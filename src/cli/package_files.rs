//! `tidegate package-files`: manual pages and shell completions, made from the command line's definition
//! so that they can't differ from it. Packages call it when they are built.

use super::{Arguments, fail};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(super) struct PackageFiles {
    /// Where `man` and `completions` are made.
    directory: PathBuf,
}

pub(super) fn package_files(files: &PackageFiles) -> ExitCode {
    match write(&files.directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, format!("{}: {error}", files.directory.display())),
    }
}

fn write(directory: &Path) -> io::Result<()> {
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(Arguments::command(), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Arguments::command(), "tidegate", &completions)?;
    }
    Ok(())
}
