#!/usr/bin/env python3
"""A pass-through file system with faults, for tests of what real file systems do.

    faulty_fs.py REAL MOUNTPOINT

shows the directory REAL at MOUNTPOINT until it is ended. Variables of the environment choose the faults:

    SIZE0=1       every regular file has length 0 in its stat
    SIZEM=n       regular files are n bytes shorter in their stat than they are
    SKEW=s        times lie s seconds behind
    COARSE=s      times are cut down to multiples of s seconds
    CTIME0=1      change times are 0
    CTIMEM=1      change times are the modification times
    UID=n         everything belongs to user and group n
    DUP=1         directories list each name twice
    CASEI=1       names that differ only in case are one
    NFC=1         names that differ only in their Unicode normal form are one
    NOLINK=errno  hard links are refused with this error number
    OPENBUSY=1    a file that is open is not renamed (EBUSY)
    NODIRSYNC=1   directories are not synced (EINVAL)
    STATERR=text  stat of a path that has the text fails (EIO)
    RDERR=text    listing of such a directory fails (EIO)
    READERR=text  reading of such a file fails (EIO)
    XERR=errno    reading an extended attribute fails
    XLERR=errno   listing extended attributes fails
    DIRECT=1      reads go past the page cache, so a file is longer than its stat says if it has more bytes
    NOINO=1       inode numbers are made up
    NOALLOW=1     only the user who mounts it may enter

Needs fusepy (Debian: python3-fusepy) and /dev/fuse. Nothing is cached, so each fault shows at once.
"""
import errno
import os
import stat
import sys
import unicodedata

try:
    from fusepy import FUSE, FuseOSError, Operations  # Debian's name of the module
except ImportError:
    from fuse import FUSE, FuseOSError, Operations

FAULTS = os.environ


def fails(fault, path):
    return FAULTS.get(fault) and FAULTS[fault] in path


def fold(name):
    if FAULTS.get("NFC"):
        name = unicodedata.normalize("NFC", name)
    return name.lower() if FAULTS.get("CASEI") else name


class Faulty(Operations):
    use_ns = True

    def __init__(self, root):
        self.root = os.path.realpath(root)
        self.written = {}

    def real(self, path):
        """The path below REAL; where names fold, the existing name that means the same."""
        if not (FAULTS.get("CASEI") or FAULTS.get("NFC")):
            return self.root + path
        real = self.root
        for name in filter(None, path.split("/")):
            found = os.path.join(real, name)
            if not os.path.lexists(found) and os.path.isdir(real):
                for other in os.listdir(real):
                    if fold(other) == fold(name):
                        found = os.path.join(real, other)
                        break
            real = found
        return real

    def changed_time(self, nanoseconds):
        if FAULTS.get("SKEW"):
            nanoseconds -= int(float(FAULTS["SKEW"]) * 1e9)
        if FAULTS.get("COARSE"):
            granule = int(float(FAULTS["COARSE"]) * 1e9)
            nanoseconds = nanoseconds // granule * granule
        return nanoseconds

    def getattr(self, path, fh=None):
        if fails("STATERR", path):
            raise FuseOSError(errno.EIO)
        found = os.lstat(self.real(path))
        names = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_blocks", "st_ino", "st_rdev")
        shown = {name: getattr(found, name) for name in names}
        for name in ("st_atime", "st_mtime", "st_ctime"):
            shown[name] = self.changed_time(getattr(found, name + "_ns"))
        if FAULTS.get("CTIME0"):
            shown["st_ctime"] = 0
        if FAULTS.get("CTIMEM"):
            shown["st_ctime"] = shown["st_mtime"]
        if stat.S_ISREG(found.st_mode):
            if FAULTS.get("SIZE0"):
                shown["st_size"] = 0
            if FAULTS.get("SIZEM"):
                shown["st_size"] = max(0, found.st_size - int(FAULTS["SIZEM"]))
        if FAULTS.get("UID"):
            shown["st_uid"] = shown["st_gid"] = int(FAULTS["UID"])
        return shown

    def readdir(self, path, fh):
        if fails("RDERR", path):
            raise FuseOSError(errno.EIO)
        names = sorted(os.listdir(self.real(path)))
        return [".", ".."] + names + (names if FAULTS.get("DUP") else [])

    def read(self, path, size, offset, fh):
        if fails("READERR", path):
            raise FuseOSError(errno.EIO)
        return os.pread(fh, size, offset)

    def open(self, path, flags):
        return os.open(self.real(path), flags & ~os.O_NOFOLLOW)

    def create(self, path, mode, fi=None):
        handle = os.open(self.real(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        self.written[handle] = path
        return handle

    def write(self, path, data, offset, fh):
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        os.truncate(self.real(path), length)

    def release(self, path, fh):
        self.written.pop(fh, None)
        os.close(fh)

    def fsync(self, path, datasync, fh):
        os.fsync(fh)

    def fsyncdir(self, path, datasync, fh):
        if FAULTS.get("NODIRSYNC"):
            raise FuseOSError(errno.EINVAL)

    def readlink(self, path):
        return os.readlink(self.real(path))

    def mkdir(self, path, mode):
        os.mkdir(self.real(path), mode)

    def rmdir(self, path):
        os.rmdir(self.real(path))

    def unlink(self, path):
        os.unlink(self.real(path))

    def rename(self, old, new):
        if FAULTS.get("OPENBUSY") and old in self.written.values():
            raise FuseOSError(errno.EBUSY)
        os.rename(self.real(old), self.real(new))

    def symlink(self, target, source):
        os.symlink(source, self.real(target))

    def link(self, target, source):
        if FAULTS.get("NOLINK"):
            raise FuseOSError(int(FAULTS["NOLINK"]))
        os.link(self.real(source), self.real(target), follow_symlinks=False)

    def chmod(self, path, mode):
        os.chmod(self.real(path), mode)

    def chown(self, path, uid, gid):
        os.lchown(self.real(path), uid, gid)

    def utimens(self, path, times=None):
        os.utime(self.real(path), ns=times, follow_symlinks=False)

    def mknod(self, path, mode, device):
        os.mknod(self.real(path), mode, device)

    def getxattr(self, path, name, position=0):
        if FAULTS.get("XERR"):
            raise FuseOSError(int(FAULTS["XERR"]))
        try:
            return os.getxattr(self.real(path), name, follow_symlinks=False)
        except OSError as error:
            raise FuseOSError(error.errno)

    def listxattr(self, path):
        if FAULTS.get("XLERR"):
            raise FuseOSError(int(FAULTS["XLERR"]))
        return os.listxattr(self.real(path), follow_symlinks=False)

    def setxattr(self, path, name, value, options, position=0):
        os.setxattr(self.real(path), name, value, follow_symlinks=False)

    def removexattr(self, path, name):
        try:
            os.removexattr(self.real(path), name, follow_symlinks=False)
        except OSError as error:
            raise FuseOSError(error.errno)

    def statfs(self, path):
        room = os.statvfs(self.root)
        names = "bavail bfree blocks bsize favail ffree files flag frsize namemax".split()
        return {"f_" + name: getattr(room, "f_" + name) for name in names}


options = {"use_ino": True} if not FAULTS.get("NOINO") else {}
if FAULTS.get("DIRECT"):
    options["direct_io"] = True
FUSE(
    Faulty(sys.argv[1]),
    sys.argv[2],
    foreground=True,
    nothreads=True,
    attr_timeout=0,
    entry_timeout=0,
    allow_other=not FAULTS.get("NOALLOW"),
    encoding="utf-8",
    **options,
)
