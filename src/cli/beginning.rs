//! What is to be typed where a directory is not taken for a store, and where this machine remembers what stores were on.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use pileus::backup::{NotAStore, Unmounted};
use pileus::wording::shell_word;

use super::Failure;

/// Where root keeps what is remembered if there is no home, as in a service.
const OF_ROOT: &str = "/var/lib/pileus";

/// Below the state directory of a user.
const OF_USER: &str = "pileus";

/// The file's name.
const FILE_NAME: &str = "stores";

/// Returns the file that remembers what stores were on; none if there is no place for it.
pub(super) fn places() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let is_root = || std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let of_root = || is_root().then(|| OF_ROOT.into());
    let home = || absolute("HOME").filter(|home| home.is_dir());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(home()?.join(".local/state")));
    let directory = state.map(|state| state.join(OF_USER)).or_else(of_root);
    directory.map(|directory: PathBuf| directory.join(FILE_NAME))
}

/// Says what to type where a directory is not taken for a store.
pub(super) fn with_way_out(error: anyhow::Error) -> Failure {
    if let Some(refused) = error.downcast_ref::<NotAStore>() {
        let apart = shell_word(refused.store.join("store"));
        return Failure::Usage(format!(
            "{refused}: write --dest={apart} for a directory of its own, or add --new-store to put a store beside them"
        ));
    }
    if let Some(refused) = error.downcast_ref::<Unmounted>() {
        let point = shell_word(&refused.mount.point);
        return Failure::Run(anyhow::anyhow!(
            "{refused}: mount it first (mount {point}); add --new-store if a new store is meant to begin here"
        ));
    }
    Failure::Run(error)
}
