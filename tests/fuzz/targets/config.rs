//! Configuration files: every mistake is one line that can be shown.

#![no_main]

use std::path::Path;

use clap::{Arg, ArgAction, Command};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../../src/cli/config/file.rs"]
mod file;

#[allow(dead_code)]
#[path = "../../../src/cli/config/nearest.rs"]
mod nearest;

#[allow(dead_code)]
#[path = "../../../src/cli/config/unexpanded.rs"]
mod unexpanded;

fn definition() -> Command {
    let option = |name| Arg::new(name).long(name);
    let switch = |name| option(name).action(ArgAction::SetTrue);
    let many = |name| option(name).action(ArgAction::Append);
    Command::new("pileus")
        .arg(switch("quiet"))
        .subcommand(Command::new("backup").args([
            option("dest"),
            many("exclude"),
            switch("one-file-system"),
            option("jobs"),
        ]))
        .subcommand(Command::new("restore").args([option("target"), many("include")]))
}

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Err(error) = file::parse(Path::new("pileus.toml"), &text, &definition()) {
        assert!(error.starts_with("pileus.toml:"), "no place in {error:?}");
        assert!(!error.contains('\n'), "more than one line: {error:?}");
    }
});
