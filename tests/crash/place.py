"""A tree, some nights of it in a store, and copies of that store in which a further run meets its fate.

The tree does not change while runs are tried, so copies of store and local state are as good as the first ones. The clock is set ahead by
`between.c`, a day for each run, so that no file counts as changed in the second of its reading and no name of a snapshot is taken.
"""
import hashlib
import os
import pathlib
import random
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
DAY = 86400
BACKUP = ["backup", "--compression=none", "--segment-size=64K", "--jobs=2"]


def manifest(directory):
    """Returns what is below a directory: contents, modes and link targets by path."""
    found = {}
    for above, names, files in os.walk(directory):
        for name in names + files:
            path = os.path.join(above, name)
            shown, stat = os.path.relpath(path, directory), os.lstat(path)
            if os.path.islink(path):
                found[shown] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[shown] = ("directory", stat.st_mode & 0o7777)
            else:
                digest = hashlib.sha1(pathlib.Path(path).read_bytes()).hexdigest()
                found[shown] = (digest, stat.st_mode & 0o7777, stat.st_mtime_ns)
    return found


class Workshop:
    """The directory in which everything happens, the program, and the library that stands between it and the C library."""

    def __init__(self, directory, program):
        self.directory = pathlib.Path(directory)
        self.program = program
        self.library = self.directory / "between.so"
        source = HERE / "between.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, source], check=True)
        self.sources = self.directory / "sources"
        (self.sources / "tree").mkdir(parents=True)

    def run(self, arguments, night, variables=None, prefix=(), library=True):
        """Runs pileus in a certain night and returns how it ended; a run that takes two minutes hangs."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "TZ": "UTC", "TMPDIR": str(self.directory)}
        if library:
            # By its name alone: in LD_PRELOAD a blank would end a path.
            environment |= {
                "LD_PRELOAD": self.library.name,
                "LD_LIBRARY_PATH": str(self.library.parent),
                "BETWEEN_AHEAD": str(night * DAY),
            }
        environment |= variables or {}
        command = [*prefix, self.program, *map(str, arguments)]
        return subprocess.run(command, env=environment, cwd=self.sources, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", timeout=120, start_new_session=True)


class Base:
    """Three nights in a store, and the tree as it is in the fourth."""

    def __init__(self, workshop, own_state):
        self.workshop = workshop
        self.own_state = own_state
        self.root = workshop.directory / ("base-own" if own_state else "base")
        self.root.mkdir()
        self.nights = 4
        self.manifests = {}

    def command(self, root, arguments):
        """Completes a command line with the places of store and local state."""
        arguments = [argument.replace("ROOT", str(root)) for argument in arguments]
        local = root / ("state" if self.own_state else "store")
        if arguments[0] == "clean":
            return [*arguments, f"--localdb={local}"]
        places = [f"--dest={root / 'store'}"]
        if self.own_state and arguments[0] not in ("verify", "restore", "list"):
            places.append(f"--localdb={local}")
        return [*arguments[:1], *places, *arguments[1:], *(["tree"] if arguments[0] == "backup" else [])]

    def names(self, root):
        """Returns the snapshots that are there."""
        store = root / "store"
        found = store.iterdir() if store.exists() else ()
        return sorted(path.name[9:-4] for path in found if path.name.startswith("snapshot-") and path.name.endswith(".lbs"))

    def take_note(self, tree):
        """Remembers what the tree is now as what the newest snapshot has to restore to."""
        for name in self.names(self.root):
            self.manifests.setdefault(name, tree)


class Nothing(Base):
    """No store yet, and no local state."""

    def __init__(self, other):
        self.workshop, self.own_state, self.nights, self.manifests = other.workshop, False, other.nights, {}
        self.root = other.workshop.directory / "nothing"
        self.root.mkdir()


def make_bases(workshop):
    """Makes the tree and, in step with it, a store with local state inside and one with local state elsewhere."""
    bases = [Base(workshop, own_state) for own_state in (False, True)]
    tree, dice = workshop.sources / "tree", random.Random(7)
    for directory in ("a", "a/b", "c"):
        (tree / directory).mkdir()
    (tree / "link").symlink_to("a/0")
    for night in range(1, 5):
        edit(tree, dice, night)
        if night == 4:
            break
        for base in bases:
            ended = workshop.run(base.command(base.root, BACKUP), night)
            assert (ended.returncode, ended.stderr) == (0, ""), ended
            base.take_note(manifest(tree))
    for base in bases:
        (base.root / "store" / ".left.tar.part").write_bytes(b"left over")
        (base.root / "store" / "00000000-0000-4000-8000-000000000000.tar").write_bytes(b"an orphan")
        assert len(base.manifests) == 3, base.manifests
    return bases


def edit(tree, dice, night):
    """Changes the tree as a day does: some files are new, some go, a large one changes in places."""
    for number in range(night * 6):
        if night == 1 or number % 5 == 0:
            directory = ("a", "a/b", "c")[number % 3]
            (tree / directory / str(number)).write_bytes(dice.randbytes(dice.choice((0, 90, 9000, 50_000))))
    large = tree / "b-large"
    contents = bytearray(large.read_bytes() if large.exists() else dice.randbytes(2_300_000))
    for _ in range(3):
        at = dice.randrange(len(contents))
        contents[at:at + 50] = dice.randbytes(50)
    large.write_bytes(contents)
    (tree / "c" / f"night-{night}").write_bytes(dice.randbytes(120_000))
    if night > 1:
        (tree / "c" / f"night-{night - 1}").unlink()


def copy(base, to):
    """Copies store and local state to another place."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(base.root, to, symlinks=True)
    return to
