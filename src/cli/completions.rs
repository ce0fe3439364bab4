//! `pileus completions`: what a shell needs to complete command lines, made of the definition of the command line.

use clap::CommandFactory;

use super::arguments::{Arguments, Completions};
use super::{DONE, Failure};
use crate::console::Console;

pub(crate) fn run(arguments: &Completions, console: &Console) -> Result<u8, Failure> {
    if console.is_json() {
        return Err(Failure::Usage(
            "completions prints a script, not JSON: leave out --json".to_owned(),
        ));
    }
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "pileus", &mut script);
    console.bytes(&script)?;
    Ok(DONE)
}
