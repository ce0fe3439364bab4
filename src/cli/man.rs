//! `pileus man`: manual pages of all commands, made of the definition of the command line.

use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use anyhow::Context;
use clap::CommandFactory;
use serde_json::json;

use super::arguments::{Arguments, Man};
use super::{DONE, Failure};
use crate::console::{Console, json_text};

/// Writes `pileus.1` and a page for each command; pages that are there are replaced.
pub(crate) fn run(arguments: &Man, console: &Console) -> Result<u8, Failure> {
    let begun = Instant::now();
    let directory = &arguments.directory;
    let shown = directory.display();
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {shown}"))?;
    clap_mangen::generate_to(Arguments::command(), directory)
        .with_context(|| format!("cannot write manual pages into {shown}"))?;
    console.tell_terminal(&format!(
        "manual pages are in {shown}: man -l {shown}/pileus.1"
    ));
    let told = json_text(directory.as_os_str().as_bytes());
    console.summary(&json!({
        "type": "summary", "command": "man", "directory": told, "problems": 0, "seconds": begun.elapsed().as_secs_f64(),
    }));
    Ok(DONE)
}
