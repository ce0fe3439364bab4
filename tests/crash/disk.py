"""What a file system may show after power was lost: a model of it that is fed with what `between.c` recorded.

Everything that a run did is either durable or not yet. The contents of a file become durable with its fsync, the names in a directory
with the fsync of the directory, and nothing else makes anything durable: no rename, no close, no fsync of something else. Names of one
directory become durable in the order in which they were made, as in a journal; of the rest anything may have reached the disk or not.
"""
import hashlib
import os

VIEWS = ("worst", "names", "some", "all")


class File:
    """The contents of a file: the durable ones, and what was done since."""

    def __init__(self, contents=b""):
        self.durable, self.pending = bytes(contents), []

    def seen(self, chooses):
        contents = bytearray(self.durable)
        for where, data in self.pending:
            if not chooses():
                continue
            if data is None:
                del contents[where:]
                contents.extend(bytes(max(0, where - len(contents))))
            else:
                contents.extend(bytes(max(0, where - len(contents))))
                contents[where:where + len(data)] = data
        return bytes(contents)

    def sync(self):
        self.durable, self.pending = self.seen(lambda: True), []


class Directory:
    """The names in a directory, in the same two states."""

    def __init__(self):
        self.durable, self.pending, self.now = {}, [], {}

    def change(self, changes):
        """Changes names at once; `None` removes one."""
        self.pending.append(changes)
        apply(self.now, changes)

    def seen(self, count):
        names = dict(self.durable)
        for changes in self.pending[:count]:
            apply(names, changes)
        return names

    def sync(self):
        self.durable, self.pending = dict(self.now), []


def apply(names, changes):
    for name, what in changes.items():
        if what is None:
            names.pop(name, None)
        else:
            names[name] = what


class Disk:
    """A directory and all below it."""

    def __init__(self, root):
        self.path, self.root = str(root), Directory()
        for above, directories, files in os.walk(root):
            directory = self.find(above)
            for name in directories:
                directory.now[name] = Directory()
            for name in files:
                with open(os.path.join(above, name), "rb") as file:
                    directory.now[name] = File(file.read())
            directory.sync()

    def find(self, path):
        """Returns what a path names now; none if nothing."""
        found = self.root
        for name in os.path.relpath(path, self.path).split("/"):
            if name != ".":
                found = found.now.get(name) if found else None
        return found

    def above(self, path):
        return self.find(os.path.dirname(path)), os.path.basename(path)

    def do(self, what, path, other, where, data):
        """Does what a run did. What has no name any more cannot be found again, so it does not matter."""
        if what in ("create", "mkdir", "unlink"):
            directory, name = self.above(path)
            made = {"create": File, "mkdir": Directory, "unlink": lambda: None}[what]()
            directory.change({name: made})
        elif what in ("rename", "link"):
            (directory, name), (target, new) = self.above(path), self.above(other)
            assert directory is target, "a rename from one directory to another is not modelled"
            moved = directory.now[name]
            directory.change({new: moved} if what == "link" else {name: None, new: moved})
        elif what == "syncfs":
            self.sync_all(self.root)
        elif (found := self.find(path)) is not None:
            if what == "sync":
                found.sync()
            else:
                found.pending.append((where, data if what == "write" else None))

    def sync_all(self, directory):
        directory.sync()
        for below in directory.now.values():
            below.sync() if isinstance(below, File) else self.sync_all(below)

    def view(self, kind, dice):
        """Returns what may be seen after power was lost now: contents by path, none for a directory."""
        names = {"worst": lambda d: 0, "some": lambda d: dice.randint(0, len(d.pending))}.get(kind, lambda d: len(d.pending))
        data = {"all": lambda: True, "some": lambda: dice.random() < 0.5}.get(kind, lambda: False)
        found = {}

        def look(directory, path):
            for name, what in directory.seen(names(directory)).items():
                if name.endswith("-shm"):
                    continue
                if isinstance(what, File):
                    found[path + name] = what.seen(data)
                else:
                    found[path + name] = None
                    look(what, path + name + "/")

        look(self.root, "")
        return found


def records(path):
    """Yields what was recorded."""
    with open(path, "rb") as file:
        while head := file.readline():
            what, path, other, where, count = os.fsdecode(head).rstrip("\n").split("\t")
            yield what, path, other, int(where), file.read(int(count)) if what == "write" else b""


def digest(view):
    """Returns what tells a view from others."""
    sums = [(path, contents and hashlib.sha1(contents).digest()) for path, contents in sorted(view.items())]
    return hashlib.sha1(repr(sums).encode()).digest()


def put(view, to):
    """Makes a directory that is like a view."""
    os.makedirs(to)
    for path, contents in sorted(view.items()):
        full = os.path.join(to, path)
        if contents is None:
            os.mkdir(full)
        else:
            with open(full, "wb") as file:
                file.write(contents)
