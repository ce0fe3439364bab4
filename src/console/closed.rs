//! Whether standard output was closed when the process began, as by `>&-`.
//!
//! Before `main`, the standard library opens `/dev/null` in place of it, so that no other file gets its number; from then on, what is printed
//! would be lost without an error. So this is looked at still earlier, by a function that the loader calls.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// The table of functions that the loader calls before `main`.
#[allow(
    unsafe_code,
    reason = "only the loader runs early enough; the function is safe code and needs nothing of the runtime"
)]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let is_open = rustix::io::fcntl_getfd(io::stdout()).is_ok();
    WAS_CLOSED.store(!is_open, Ordering::Relaxed);
}

/// Fails if there is no standard output to write to.
pub(super) fn ensure_open() -> io::Result<()> {
    if WAS_CLOSED.load(Ordering::Relaxed) {
        return Err(io::Error::other("it is closed"));
    }
    Ok(())
}
