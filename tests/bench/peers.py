"""Other backup programs, measured beside pileus if they are installed: what a user would pick instead.

Each is used as its manual says, with its own defaults, except that all compress with zstd where they have it and that none asks for a
password. The restores bring back what they can, owners and extended attributes too. A peer that fails is left out of its row, and that is
said: their options change from version to version, and pileus' figures do not depend on them. So whatever makes a peer ready is done in its
own turn, before the clock starts.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from measure import Contender, must, remove, run_once


@dataclass(frozen=True)
class Peer:
    """How a program is used. In its arguments `{home}` is a directory of its own, `{repo}` its store, `{name}` names a snapshot."""

    program: str
    init: list[list[str]]
    backup: list[str]
    restore: list[str]
    forget: list[str] = field(default_factory=list)
    """Makes the snapshot's name free again, where a name may be used only once."""
    environment: dict[str, str] = field(default_factory=dict)


PEERS = [
    Peer(
        "restic",
        init=[["init"]],
        backup=["--quiet", "backup", "{source}"],
        restore=["--quiet", "restore", "latest", "--target", "{target}"],
        environment={"RESTIC_REPOSITORY": "{repo}", "RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": "{home}/cache"},
    ),
    Peer(
        "borg",
        init=[["init", "--encryption", "none", "{repo}"]],
        backup=["create", "--compression", "zstd,3", "{repo}::{name}", "{source}"],
        restore=["extract", "{repo}::{name}"],
        forget=["delete", "{repo}::{name}"],
        environment={"BORG_BASE_DIR": "{home}", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"},
    ),
    Peer(
        "bupstash",
        init=[["new-key", "--output", "{home}/key"], ["init", "--repository", "{repo}"]],
        backup=["put", "--quiet", "--send-log", "{home}/send-log", "name={name}", "{source}"],
        restore=["restore", "--quiet", "--ownership", "--xattrs", "--into", "{target}", "name={name}"],
        environment={"BUPSTASH_REPOSITORY": "{repo}", "BUPSTASH_KEY": "{home}/key", "BUPSTASH_QUERY_CACHE": "{home}/query-cache"},
    ),
    Peer(
        "rustic",
        init=[["init"]],
        backup=["--no-progress", "backup", "{source}"],
        restore=["--no-progress", "restore", "latest", "{target}"],
        environment={
            "RUSTIC_REPOSITORY": "{repo}", "RUSTIC_PASSWORD": "bench", "RUSTIC_CACHE_DIR": "{home}/cache", "XDG_CONFIG_HOME": "{home}",
        },
    ),
    Peer(
        "conserve",
        init=[["init", "{repo}"]],
        backup=["backup", "{repo}", "{source}"],
        restore=["restore", "{repo}", "{target}"],
    ),
    Peer(
        "kopia",
        init=[["repository", "create", "filesystem", "--path", "{repo}"]],
        backup=["snapshot", "create", "{source}"],
        restore=["restore", "{source}", "{target}"],
        environment={
            "KOPIA_PASSWORD": "bench", "KOPIA_CONFIG_PATH": "{home}/config", "KOPIA_CACHE_DIRECTORY": "{home}/cache",
            "KOPIA_LOG_DIR": "{home}/log", "KOPIA_CHECK_FOR_UPDATES": "false",
        },
    ),
]


def installed() -> list[Peer]:
    return [peer for peer in PEERS if shutil.which(peer.program)]


class PeerStore:
    """A peer's store of one source."""

    def __init__(self, peer: Peer, home: Path, source: Path) -> None:
        self.peer = peer
        self.home = home
        self.repo = home / "repo"
        self.source = source

    def reset(self) -> None:
        remove(self.home)
        self.home.mkdir(parents=True)
        for arguments in self.peer.init:
            must(self.command(arguments), env=self.environment(inherit=True))

    def first(self) -> Contender:
        """A backup into an empty store."""
        return self.contender(self.peer.backup, self.reset, grows=self.repo, name="first")

    def again(self, name: str, settle: bool = False) -> Contender:
        """A backup into a store that has one already, in place of the last one of that name; settled, if one more was made before it."""
        seen = set()

        def prepare() -> None:
            if name in seen and self.peer.forget:
                must(self.command(self.peer.forget, name=name), env=self.environment(inherit=True))
            elif name not in seen:
                self.ensure_backup()
                if settle:
                    run_once(self.again("settled"))
            seen.add(name)

        return self.contender(self.peer.backup, prepare, grows=self.repo, name=name)

    def restore(self, target: Path, empty_target) -> Contender:
        def prepare() -> None:
            self.ensure_backup()
            empty_target()

        return self.contender(self.peer.restore, prepare, directory=target, name="first", target=str(target))

    def ensure_backup(self) -> None:
        if not self.repo.exists():
            run_once(self.first())

    def contender(self, arguments, prepare, grows=None, directory=None, **names: str) -> Contender:
        command = self.command(arguments, **names)
        return Contender(self.peer.program, command, prepare, grows=grows, directory=directory, environment=self.environment())

    def command(self, arguments: list[str], **names: str) -> list[str]:
        return [self.peer.program, *(self.fill(argument, **names) for argument in arguments)]

    def environment(self, inherit: bool = False) -> dict[str, str]:
        own = {name: self.fill(value) for name, value in self.peer.environment.items()}
        return {**os.environ, **own} if inherit else own

    def fill(self, text: str, **names: str) -> str:
        return text.format(home=self.home, repo=self.repo, source=self.source, **names)
