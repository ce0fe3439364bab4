//! SIGINT, SIGTERM and SIGHUP. A backup and a restore end in order, since they can leave things better than they are in the middle: the one a
//! checkpoint, the other no half file. All other commands end at once, and on a terminal say so; what they leave is what any death would.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};

use super::{CLOSED_PIPE, Failure, INTERRUPTED};
use crate::console;

/// Stack of a thread that prints one line.
const STACK_BYTES: usize = 64 << 10;

/// Makes the signals ask the run to end in order, by a flag; a second one ends it at once.
pub(super) fn stop_in_order() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in heeded() {
        // In this order: the first signal finds the flag not set yet.
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .map_err(|e| anyhow::anyhow!("cannot wait for signals: {e}"))?;
    }
    Ok(stop)
}

/// Makes the signals end the process as they do by themselves, but not without a word. Where that cannot be had, they do so without one.
pub(super) fn end_at_once() {
    let Ok(mut signals) = Signals::new(heeded()) else {
        return;
    };
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            console::tell_terminal_at_once("interrupted");
            drop(low_level::emulate_default_handler(signal));
        }
    };
    let thread = thread::Builder::new().stack_size(STACK_BYTES);
    if thread.spawn(wait).is_err() {
        let always = Arc::new(AtomicBool::new(true));
        for signal in heeded() {
            drop(flag::register_conditional_default(
                signal,
                Arc::clone(&always),
            ));
        }
    }
}

/// Ends the process as a program ends whose reader has gone away; where that cannot be had, with the code that a shell shows for it.
pub(super) fn end_by_closed_pipe() -> u8 {
    drop(low_level::emulate_default_handler(SIGPIPE));
    CLOSED_PIPE
}

/// Returns those of the signals that are not to be ignored: a shell without job control has what it starts in the background ignore Ctrl-C,
/// and `nohup` has its command ignore that the terminal goes.
fn heeded() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let is_heeded = |signal: &i32| ignored.unwrap_or(0) >> (signal - 1) & 1 == 0;
    let signals = [SIGINT, SIGTERM, SIGHUP];
    signals.into_iter().filter(is_heeded).collect()
}
