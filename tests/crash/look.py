"""What has to be true after a run came to a bad end, looked at from outside and with pileus itself."""
import hashlib
import shutil
import sqlite3
import tempfile

import place


class Broken(Exception):
    """Something that was promised is not so."""


def must(holds, what):
    if not holds:
        raise Broken(what)


def told(ended):
    return f"exit code {ended.returncode}: {ended.stderr.strip()[-600:]}"


def is_quiet(ended):
    """Whether a run went through without a word, but for those it owes: local state is lost, a snapshot is from the future."""
    owed = ("there is no local state yet", "from the future: the clock here")
    lines = [line for line in ended.stderr.splitlines() if not any(words in line for words in owed)]
    return (ended.returncode, lines) == (0, [])


class Look:
    """One place, as a run left it."""

    def __init__(self, base, root, may_go=()):
        """Takes which of the earlier snapshots the run was to remove."""
        self.base, self.root, self.may_go = base, root, may_go
        self.run = base.workshop.run

    def pileus(self, arguments, night, what):
        """Runs a command, which has to succeed silently."""
        ended = self.run(self.base.command(self.root, arguments), night)
        must(is_quiet(ended), f"{what}: {told(ended)}")
        return ended

    def whole(self, tree=None, restores=None):
        """Every snapshot that has to be there is, and each that is there is whole. `tree` is that of a new one."""
        there = self.base.names(self.root)
        for name in self.base.manifests:
            must(name in there or name in self.may_go, f"snapshot {name} is lost")
        if not there:
            return
        self.sums()
        self.pileus(["verify", "--level=files"], 0, "verify")
        for name in there if restores is None else restores:
            self.restores(name, tree)

    def sums(self):
        """Every segment that a snapshot needs is there, with its checksum; as `sha1sum -c` would see it."""
        store = self.root / "store"
        for name in self.base.names(self.root):
            sums = store / f"snapshot-{name}.sha1sums"
            must(sums.exists(), f"snapshot {name} has no sums file")
            for line in sums.read_text().splitlines():
                sha1, file = line.split(None, 1)
                path = store / file.lstrip("*")
                must(path.exists(), f"{file}, which snapshot {name} needs, is not there")
                must(hashlib.sha1(path.read_bytes()).hexdigest() == sha1, f"{file} is not what snapshot {name} needs")

    def restores(self, name, tree):
        """A snapshot restores to what the tree was; a checkpoint to a part of it."""
        target = self.root / "back"
        shutil.rmtree(target, ignore_errors=True)
        self.pileus(["restore", f"--target={target}", f"--snapshot={name}"], 0, f"restore of {name}")
        found, wanted = place.manifest(target / "tree"), self.base.manifests.get(name, tree)
        if name.endswith(".checkpoint"):
            wanted = {path: wanted.get(path) for path in found}
        must(found == wanted, f"{name} restores to something else: {sorted(set(found.items()) ^ set((wanted or {}).items()))[:4]}")
        shutil.rmtree(target)

    def rows(self):
        """Every segment that the local database names is there."""
        local = self.root / ("state" if self.base.own_state else "store")
        if not (local / "localdb.sqlite").exists():
            return
        with tempfile.TemporaryDirectory(dir=self.root) as copy:
            for file in local.glob("localdb.sqlite*"):
                shutil.copy(file, copy)
            database = sqlite3.connect(f"{copy}/localdb.sqlite")
            try:
                must(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the local database is damaged")
                if not database.execute("SELECT * FROM sqlite_master WHERE name = 'segment'").fetchall():
                    return
                for file, disk_bytes in database.execute("SELECT file, disk_bytes FROM segment"):
                    path = self.root / "store" / file
                    must(path.exists(), f"the local database names {file}, which is not there")
                    must(path.stat().st_size == disk_bytes, f"the local database is wrong about the size of {file}")
                must(not database.execute("PRAGMA foreign_key_check").fetchall(), "rows of the local database dangle")
            finally:
                database.close()

    def goes_on(self, again):
        """The next run succeeds without help, and so does the next backup; then all is whole again."""
        if again is not None:
            self.pileus(again, self.base.nights + 1, f"the next {again[0]}")
        self.rows()
        self.pileus(place.BACKUP, self.base.nights + 2, "the next backup")
        tree = place.manifest(self.base.workshop.sources / "tree")
        newest = [name for name in self.base.names(self.root) if not name.endswith(".checkpoint")][-1]
        self.whole(tree, [newest])
        self.rows()

    def all(self, again):
        tree = place.manifest(self.base.workshop.sources / "tree")
        self.whole(tree)
        self.rows()
        self.goes_on(again)
