//! The command line of pileus: arguments in, exit code out. All work is done by the library.

mod cli;
mod console;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
