/* Stands between pileus and the C library: numbers the calls that change or read files below certain directories, writes down those
 * that change something, and at a certain call kills the process or lets the call fail. All calls are serialized, so that the numbers and
 * the record are those of the order in which the kernel saw them, over all threads; strace would count for each thread by itself.
 *
 * BETWEEN_BELOW    directories, separated by ':'; what lies elsewhere is not counted
 * BETWEEN_KIND     what is counted: change (default) or read
 * BETWEEN_RECORD   file to which the calls that change something are written, with their data; see disk.py
 * BETWEEN_COUNT    file to which each counted call is written: its number and what it was
 * BETWEEN_AT       the call at which something happens; none if 0
 * BETWEEN_HOW      kill (instead of the call), half (after writing half of the data), short (half of the data is written or read, as the
 *                  kernel may), gone (the directory BETWEEN_GONE gets another name, TO, or trades places with what is there; FROM:TO), or the
 *                  number of an error
 * BETWEEN_UNTIL    the last call that fails, for errors; default: BETWEEN_AT; -1: all that follow
 * BETWEEN_UNSHARED if set, files cannot be mapped into memory that is shared, as on some network file systems
 * BETWEEN_AHEAD    seconds by which the clock is ahead
 * BETWEEN_JUMP     n:seconds: from its n-th reading on, the clock is ahead by so much more (or behind, if negative)
 *
 * Contents that reach a file through mmap are not seen: of SQLite that is its -shm file, which it makes anew from the log. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int record = -1, counts = -1, wants_reads;
static long at, until, counter;
static const char *how, *below;

static long number(const char *name) {
    char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int open_log(const char *name) {
    char *path = getenv(name);
    return path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
}

__attribute__((constructor)) static void begin(void) {
    below = getenv("BETWEEN_BELOW");
    record = open_log("BETWEEN_RECORD");
    counts = open_log("BETWEEN_COUNT");
    how = getenv("BETWEEN_HOW");
    at = number("BETWEEN_AT");
    until = getenv("BETWEEN_UNTIL") ? number("BETWEEN_UNTIL") : at;
    char *kind = getenv("BETWEEN_KIND");
    wants_reads = kind && !strcmp(kind, "read");
}

/* The full path of a name below a directory descriptor, or of the descriptor itself if there is no name. */
static void full(char *to, int directory, const char *name) {
    char link[64], above[4096] = "";
    if (name && name[0] == '/') {
        snprintf(to, 8192, "%s", name);
        return;
    }
    snprintf(link, sizeof link, directory == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", directory);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, above, sizeof above - 1);
    above[length > 0 ? length : 0] = 0;
    snprintf(to, 8192, name ? "%s/%s" : "%s", above, name);
}

static int is_below(const char *path) {
    for (const char *one = below; one && *one;) {
        size_t length = strcspn(one, ":");
        if (!strncmp(path, one, length) && (path[length] == '/' || !path[length])) return 1;
        one += length + (one[length] == ':');
    }
    return 0;
}

static void put(int file, const void *bytes, size_t count) {
    while (count) {
        ssize_t done = syscall(SYS_write, file, bytes, count);
        if (done <= 0) _exit(99);
        bytes = (const char *)bytes + done;
        count -= done;
    }
}

static void note(const char *what, const char *path, const char *other, long where, const void *bytes, size_t count) {
    if (record < 0) return;
    char head[20000];
    int length = snprintf(head, sizeof head, "%s\t%s\t%s\t%ld\t%zu\n", what, path, other, where, count);
    put(record, head, length);
    if (bytes) put(record, bytes, count);
}

enum { GO_ON, FAIL, HALF };

/* Takes a directory away, as when a disk is unmounted. */
static void take_away(void) {
    char from[8192];
    snprintf(from, sizeof from, "%s", getenv("BETWEEN_GONE"));
    char *to = strchr(from, ':');
    *to++ = 0;
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 2 /* RENAME_EXCHANGE */))
        syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* Counts a call, and says what becomes of it. */
static int fate(int reads, const char *what, const char *path) {
    if (reads != wants_reads || !is_below(path)) return GO_ON;
    counter++;
    if (counts >= 0) {
        char line[9000];
        put(counts, line, snprintf(line, sizeof line, "%ld\t%s\t%s\n", counter, what, path));
    }
    if (!at || counter < at || (until >= 0 && counter > until)) return GO_ON;
    if (!strcmp(how, "kill")) kill(getpid(), SIGKILL), pause();
    if (!strcmp(how, "gone")) {
        take_away();
        return GO_ON;
    }
    if (!strcmp(how, "half") || !strcmp(how, "short")) return HALF;
    errno = atoi(how);
    /* On a full disk names can still be taken away and changed. */
    int needs_room = strcmp(what, "unlink") && strcmp(what, "rename");
    return needs_room || (errno != ENOSPC && errno != EDQUOT) || until >= 0 ? FAIL : GO_ON;
}

static void die_if_half(int fate) {
    if (fate == HALF && !strcmp(how, "half")) kill(getpid(), SIGKILL), pause();
}

#define BEGIN(reads, what, path) \
    pthread_mutex_lock(&turn); \
    int be = fate(reads, what, path)
#define END(type, result) \
    die_if_half(be); \
    type ended = (result); \
    int error = errno; \
    pthread_mutex_unlock(&turn); \
    errno = error; \
    return ended

static int is_change(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)); }

int openat(int directory, const char *name, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    char path[8192];
    full(path, directory, name);
    struct stat stat;
    int changes = is_change(flags) && (flags & O_TMPFILE) != O_TMPFILE;
    int is_new = changes && syscall(SYS_newfstatat, directory, name, &stat, AT_SYMLINK_NOFOLLOW) < 0;
    BEGIN(!changes, "open", path);
    int file = be == FAIL ? -1 : (int)syscall(SYS_openat, directory, name, flags, mode);
    if (file >= 0 && changes && is_below(path) && is_new) note("create", path, "", 0, 0, 0);
    if (file >= 0 && changes && is_below(path) && !is_new && (flags & O_TRUNC)) note("truncate", path, "", 0, 0, 0);
    END(int, file);
}
int openat64(int directory, const char *name, int flags, ...) __attribute__((alias("openat")));
int open(const char *name, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return openat(AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) __attribute__((alias("open")));

ssize_t write(int file, const void *bytes, size_t count) {
    char path[8192];
    full(path, file, 0);
    if (!is_below(path)) return syscall(SYS_write, file, bytes, count);
    BEGIN(0, "write", path);
    long where = lseek(file, 0, SEEK_CUR);
    if (be == HALF) count = (count + 1) / 2;
    ssize_t done = be == FAIL ? -1 : syscall(SYS_write, file, bytes, count);
    if (done >= 0) note("write", path, "", where, bytes, done);
    END(ssize_t, done);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    char path[8192];
    full(path, file, 0);
    /* The standard library writes again what is left. */
    if (is_below(path) && count > 0) return write(file, parts[0].iov_base, parts[0].iov_len);
    return syscall(SYS_writev, file, parts, count);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t where) {
    char path[8192];
    full(path, file, 0);
    BEGIN(0, "pwrite", path);
    if (be == HALF) count = (count + 1) / 2;
    ssize_t done = be == FAIL ? -1 : syscall(SYS_pwrite64, file, bytes, count, where);
    if (done >= 0 && is_below(path)) note("write", path, "", where, bytes, done);
    END(ssize_t, done);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t where) __attribute__((alias("pwrite64")));

int ftruncate64(int file, off64_t length) {
    char path[8192];
    full(path, file, 0);
    BEGIN(0, "ftruncate", path);
    int done = be == FAIL ? -1 : (int)syscall(SYS_ftruncate, file, length);
    if (!done && is_below(path)) note("truncate", path, "", length, 0, 0);
    END(int, done);
}
int ftruncate(int file, off_t length) __attribute__((alias("ftruncate64")));

static int sync_by(long call, int file) {
    char path[8192];
    full(path, file, 0);
    BEGIN(0, call == SYS_syncfs ? "syncfs" : "fsync", path);
    int done = be == FAIL ? -1 : (int)syscall(call, file);
    if (!done && is_below(path)) note(call == SYS_syncfs ? "syncfs" : "sync", path, "", 0, 0, 0);
    END(int, done);
}
int fsync(int file) { return sync_by(SYS_fsync, file); }
int fdatasync(int file) { return sync_by(SYS_fdatasync, file); }
int syncfs(int file) { return sync_by(SYS_syncfs, file); }

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    char path[8192], other[8192];
    full(path, from_directory, from);
    full(other, to_directory, to);
    BEGIN(0, "rename", other);
    int done = be == FAIL ? -1 : (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
    if (!done && is_below(other)) note("rename", path, other, 0, 0, 0);
    END(int, done);
}
int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    return renameat2(from_directory, from, to_directory, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags) {
    char path[8192], other[8192];
    full(path, from_directory, from);
    full(other, to_directory, to);
    BEGIN(0, "link", other);
    int done = be == FAIL ? -1 : (int)syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
    if (!done && is_below(other)) note("link", path, other, 0, 0, 0);
    END(int, done);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int directory, const char *name, int flags) {
    char path[8192];
    full(path, directory, name);
    BEGIN(0, "unlink", path);
    int done = be == FAIL ? -1 : (int)syscall(SYS_unlinkat, directory, name, flags);
    if (!done && is_below(path)) note("unlink", path, "", 0, 0, 0);
    END(int, done);
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int directory, const char *name, mode_t mode) {
    char path[8192];
    full(path, directory, name);
    BEGIN(0, "mkdir", path);
    int done = be == FAIL ? -1 : (int)syscall(SYS_mkdirat, directory, name, mode);
    if (!done && is_below(path)) note("mkdir", path, "", 0, 0, 0);
    END(int, done);
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

/* Nothing that pileus does today; a record that lacked them would be a lie. */
int fallocate64(int file, int mode, off64_t where, off64_t length) { (void)file, (void)mode, (void)where, (void)length; errno = EOPNOTSUPP; return -1; }
int fallocate(int file, int mode, off_t where, off_t length) __attribute__((alias("fallocate64")));
int posix_fallocate64(int file, off64_t where, off64_t length) { (void)file, (void)where, (void)length; return EOPNOTSUPP; }
int posix_fallocate(int file, off_t where, off_t length) __attribute__((alias("posix_fallocate64")));
ssize_t copy_file_range(int from, off64_t *in, int to, off64_t *out, size_t count, unsigned flags) {
    (void)from, (void)in, (void)to, (void)out, (void)count, (void)flags;
    errno = ENOSYS;
    return -1;
}

ssize_t read(int file, void *bytes, size_t count) {
    char path[8192];
    full(path, file, 0);
    if (!is_below(path)) return syscall(SYS_read, file, bytes, count);
    BEGIN(1, "read", path);
    if (be == HALF) count = (count + 1) / 2;
    ssize_t done = be == FAIL ? -1 : syscall(SYS_read, file, bytes, count);
    END(ssize_t, done);
}
ssize_t pread64(int file, void *bytes, size_t count, off64_t where) {
    char path[8192];
    full(path, file, 0);
    BEGIN(1, "pread", path);
    if (be == HALF) count = (count + 1) / 2;
    ssize_t done = be == FAIL ? -1 : syscall(SYS_pread64, file, bytes, count, where);
    END(ssize_t, done);
}
ssize_t pread(int file, void *bytes, size_t count, off_t where) __attribute__((alias("pread64")));

int statx(int directory, const char *name, int flags, unsigned mask, struct statx *stat) {
    char path[8192];
    /* The standard library asks with no name at all whether the call is there. */
    const char *volatile given = name;
    full(path, directory, given && *given ? given : 0);
    BEGIN(1, "stat", path);
    int done = be == FAIL ? -1 : (int)syscall(SYS_statx, directory, name, flags, mask, stat);
    END(int, done);
}

struct dirent64 *readdir64(DIR *directory) {
    static struct dirent64 *(*next)(DIR *);
    if (!next) next = (struct dirent64 * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir64");
    char path[8192];
    full(path, dirfd(directory), 0);
    BEGIN(1, "readdir", path);
    struct dirent64 *entry = be == FAIL ? 0 : next(directory);
    END(struct dirent64 *, entry);
}

void *mmap(void *where, size_t length, int protection, int flags, int file, off_t offset) {
    if (file >= 0 && (flags & MAP_TYPE) == MAP_SHARED && getenv("BETWEEN_UNSHARED")) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, where, length, protection, flags, file, offset);
}
void *mmap64(void *where, size_t length, int protection, int flags, int file, off64_t offset) __attribute__((alias("mmap")));

int clock_gettime(clockid_t clock, struct timespec *now) {
    static long calls;
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result || clock != CLOCK_REALTIME) return result;
    now->tv_sec += number("BETWEEN_AHEAD");
    char *jump = getenv("BETWEEN_JUMP");
    char *seconds = jump ? strchr(jump, ':') : 0;
    if (seconds && __sync_add_and_fetch(&calls, 1) >= atol(jump)) now->tv_sec += atol(seconds + 1);
    return 0;
}
