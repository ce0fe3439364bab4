//! `pileus export`.

use std::io::{self, IsTerminal};

use pileus::export::{self, ExportOptions};
use pileus::store::catalog::Catalog;

use super::arguments::Export;
use super::{Failure, done_with};
use crate::console::{Aside, Console};

/// Writes a tar stream to standard output, and nothing else.
pub(crate) fn run(arguments: &Export, console: &Console) -> Result<u8, Failure> {
    let paths = super::entry_paths(&arguments.paths)?;
    if console.is_json() {
        return Err(Failure::Usage(
            "export writes an archive, not JSON: leave out --json".to_owned(),
        ));
    }
    if io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "an archive is not for a terminal: write it to a file (> files.tar) or a program (| tar x)".to_owned(),
        ));
    }
    let of = &arguments.which;
    let catalog = Catalog::open(&of.stored.dest)?;
    let options = ExportOptions {
        store: of.stored.dest.clone(),
        snapshot: super::choose(of, &catalog)?,
        paths,
        unfilter: of.stored.unfilter.clone(),
    };
    let report = export::run(&options, &Aside(console), &mut |bytes| console.bytes(bytes))?;
    Ok(done_with(report.problems))
}
