//! Target file systems that take different names for the same, such as vfat: played by a library in front of the C library, which
//! finds a name that is not there under one that differs in case.

use super::{DELETE, deleted};
use crate::harness::{Ended, Place, need};

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns the name that a directory has for one it is asked for. */
static const char *folded(int directory, const char *name, char *found) {
    struct stat there;
    if (directory < 0 || strchr(name, '/') || !*name || name[0] == '.'
        || !syscall(SYS_newfstatat, directory, name, &there, AT_SYMLINK_NOFOLLOW))
        return name;
    int listed = syscall(SYS_openat, directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = listed < 0 ? 0 : fdopendir(listed);
    if (!names)
        return name;
    for (struct dirent *entry; (entry = readdir(names));)
        if (!strcasecmp(entry->d_name, name))
            name = strcpy(found, entry->d_name);
    closedir(names);
    return name;
}
#define FOLD(directory, name) char found_##name[256]; name = folded(directory, name, found_##name)

int fstatat(int directory, const char *name, struct stat *stat, int flags) {
    FOLD(directory, name);
    return syscall(SYS_newfstatat, directory, name, stat, flags);
}
int fstatat64(int directory, const char *name, struct stat64 *stat, int flags) {
    return fstatat(directory, name, (struct stat *)stat, flags);
}
int openat(int directory, const char *name, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    FOLD(directory, name);
    return syscall(SYS_openat, directory, name, flags, mode);
}
int openat64(int directory, const char *name, int flags, ...) __attribute__((alias("openat")));
int mkdirat(int directory, const char *name, mode_t mode) {
    FOLD(directory, name);
    return syscall(SYS_mkdirat, directory, name, mode);
}
int unlinkat(int directory, const char *name, int flags) {
    FOLD(directory, name);
    return syscall(SYS_unlinkat, directory, name, flags);
}
int symlinkat(const char *to, int directory, const char *name) {
    FOLD(directory, name);
    return syscall(SYS_symlinkat, to, directory, name);
}
int linkat(int from, const char *old, int to, const char *name, int flags) {
    FOLD(from, old);
    FOLD(to, name);
    return syscall(SYS_linkat, from, old, to, name, flags);
}
int renameat(int from, const char *old, int to, const char *name) {
    FOLD(from, old);
    FOLD(to, name);
    return syscall(SYS_renameat2, from, old, to, name, 0);
}
int renameat2(int from, const char *old, int to, const char *name, unsigned flags) {
    FOLD(from, old);
    FOLD(to, name);
    return syscall(SYS_renameat2, from, old, to, name, flags);
}
"#;

/// Runs a restore with `--delete` into a target that folds names.
fn delete_folding(place: &Place, arguments: &[&str]) -> Ended {
    need("cc");
    place.write("folding.c", SOURCE);
    place.sh("cc -shared -fPIC -o folding.so folding.c");
    let preload = "LD_PRELOAD=./folding.so";
    let fixed = DELETE
        .iter()
        .filter(|fixed| !fixed.starts_with("--overwrite"));
    let arguments = fixed.chain(arguments);
    Ended::of(&mut place.command_under(&["env", preload], arguments))
}

#[test]
fn where_names_are_folded_nothing_of_the_snapshot_is_taken_for_superfluous() {
    let place = Place::new();
    place.sh("mkdir -p tree/A tree/Dir tree/other; echo stored >tree/Dir/file; echo stored >tree/README; ln -s x tree/Link; touch tree/Empty tree/other/y
        mkdir -p back/tree/A back/tree/dir back/tree/other; cp -a tree/README back/tree/readme; ln -s x back/tree/link; touch back/tree/empty
        cp -a tree/Dir/file back/tree/dir/FILE; touch back/tree/0 back/tree/A/gone back/tree/zz back/tree/dir/zz back/tree/other/gone");
    place.succeed(["backup", "--dest=store", "tree"]);
    for overwrite in ["--overwrite=if-changed", "--overwrite=always"] {
        let dry = delete_folding(&place, &[overwrite, "-v", "--dry-run"]);
        let ended = delete_folding(&place, &[overwrite, "-v"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert_eq!(deleted(&dry), deleted(&ended));
        let note = "tree: nothing more in it is deleted: tree/Dir is there by another name";
        assert!(ended.stdout.contains(note), "{ended:?}");
        // Whatever the snapshot has is there, under some name.
        place.sh("cd back/tree; cmp README ../../tree/README || cmp readme ../../tree/README; test -L link -o -L Link; test -e empty -o -e Empty
            cat dir/[fF]* | grep -qx stored; test -e zz; test -e dir/zz; test -e other/y; test -e other/gone; test ! -e 0; test ! -e A/gone");
    }
}
