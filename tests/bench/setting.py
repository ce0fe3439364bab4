"""The commands that are measured: pileus, and the limit it is held to.

The limit is what the kernel and a codec leave to be won: `tar | zstd` for a backup, `zstd -d | tar x` for a restore, and for a night in
which nothing changed `find`, which asks for every file's times and inode, as any backup must. Both sides use the same codec, the same level
and the same number of threads.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from corpora import Corpus, Missing
from measure import Contender, pipeline, remove, run_once, wait_for_next_second
from peers import Peer, PeerStore


@dataclass(frozen=True)
class Codec:
    """A codec, as pileus names it and as a shell does."""

    option: str
    pack: str
    unpack: str
    program: str
    package: str


CODECS = {
    "zstd": Codec("zstd:3", "zstd -q -3 -T{jobs}", "zstd -q -d -c", "zstd", "zstd"),
    "bzip2": Codec("bzip2", "pbzip2 -p{jobs}", "pbzip2 -d -c -p{jobs}", "pbzip2", "pbzip2"),
}


@dataclass
class Setting:
    """One corpus, one codec, and a directory for what is made of them: stores, local state, the limit's tar file, what is restored.

    Rows of one setting share it: what the first backup stored is what the unchanged run adds to and what is restored.
    """

    pileus: Path
    corpus: Corpus
    codec: str
    directory: Path
    jobs: int
    peers: list[Peer]

    def __post_init__(self) -> None:
        program = CODECS[self.codec].program
        if not shutil.which(program):
            raise Missing(f"the program {program} is not here: apt-get install {CODECS[self.codec].package}")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.store = self.directory / "store"
        self.state = self.directory / "state"
        self.archive = self.directory / "limit.tar"
        self.target = self.directory / "target"
        self.peer_stores = [PeerStore(peer, self.directory / peer.program, self.corpus.source) for peer in self.peers]
        self.corpus.warm()

    def backup(self, fresh: bool = False) -> Contender:
        """A backup by pileus; a fresh one finds neither store nor local state."""

        def prepare() -> None:
            if fresh:
                remove(self.store, self.state)
            wait_for_next_second()

        options = [f"--localdb={self.state}", f"--compression={CODECS[self.codec].option}", f"--jobs={self.jobs}"]
        command = self.command("backup", *options, str(self.corpus.source))
        return Contender("pileus", command, prepare, grows=self.store, has_summary=True)

    def restore(self) -> Contender:
        command = self.command("restore", f"--target={self.target}", f"--jobs={self.jobs}")
        return Contender("pileus", command, self.empty_target, has_summary=True)

    def command(self, verb: str, *arguments: str) -> list[str]:
        return [str(self.pileus), verb, f"--dest={self.store}", "--json", *arguments]

    def restored(self) -> Path:
        """Where the source is found after a restore: below the target, under the name that it was stored with."""
        return self.target / self.corpus.source.relative_to("/")

    def limit_backup(self) -> Contender:
        pack = CODECS[self.codec].pack.format(jobs=self.jobs)
        source = self.corpus.source
        tar = "tar --sparse" if self.corpus.is_sparse else "tar"
        command = pipeline(f'{tar} -C "$1" -c "$2" | {pack} >"$3"', source.parent, source.name, self.archive)
        return Contender("limit", command, lambda: remove(self.archive), grows=self.archive)

    def limit_restore(self) -> Contender:
        unpack = CODECS[self.codec].unpack.format(jobs=self.jobs)
        return Contender("limit", pipeline(f'{unpack} <"$1" | tar -C "$2" -x', self.archive, self.target), self.empty_target)

    def limit_unchanged(self) -> Contender:
        return Contender("limit", ["find", str(self.corpus.source), "-printf", r"%s %T@ %C@ %i\n"])

    def limit_verify(self) -> Contender:
        """Reads the store once and hashes it, as `sha1sum -c` would."""
        return Contender("limit", pipeline('find "$1" -type f -print0 | xargs -0 sha1sum', self.store))

    def looking(self) -> list[Contender]:
        """Every command that only looks, or says what it would do. One that this pileus does not have yet is passed over."""
        known = commands_of(self.pileus)
        rebuilt = self.directory / "rebuilt"
        with_state = f"--localdb={self.state}"
        store = f"--dest={self.store}"
        commands = [
            ["list", store],
            ["ls", "-l", store],
            ["find", store, "README"],
            ["export", store],
            ["verify", store, "--level=sums"],
            ["verify", store, "--level=objects"],
            ["verify", store, "--level=files"],
            ["diff", store, "latest"],
            ["stats", store, with_state],
            ["prune", store, with_state, "--keep-last=1", "--dry-run"],
            ["clean", with_state, "--dry-run"],
            ["rebuild", store, f"--localdb={rebuilt}"],
        ]
        contenders = []
        for arguments in commands:
            if arguments[0] in known:
                name = " ".join(argument for argument in arguments if "=/" not in argument)
                command = [str(self.pileus), *arguments]
                # A directory above the source changes with whatever else is in it, which `diff` tells by 3.
                accepted = (0, 3) if arguments[0] == "diff" else (0,)
                clear = lambda: remove(rebuilt)
                contenders.append(Contender(name, command, clear, clear, accepted=accepted))
        return contenders

    def empty_target(self) -> None:
        remove(self.target)
        self.target.mkdir()

    def ensure_backup(self) -> None:
        """Makes the first backup, unless a row before this one did."""
        if not self.store.exists():
            run_once(self.backup(fresh=True))

    def ensure_archive(self) -> None:
        if not self.archive.exists():
            run_once(self.limit_backup())

    def clear(self) -> None:
        """Frees the space. Only what was made here is removed."""
        remove(self.directory)


def commands_of(pileus: Path) -> set[str]:
    """The commands that a pileus has, as its help lists them."""
    text = subprocess.run([pileus, "--help"], capture_output=True, text=True, check=True).stdout
    listed = text.partition("Commands:\n")[2].partition("\n\n")[0]
    return {line.split()[0] for line in listed.splitlines() if line.strip()}
