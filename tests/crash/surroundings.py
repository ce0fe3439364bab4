"""What else a bad night has: a destination that disappears, a filter that dies, a clock that jumps, little memory, a full disk."""
import os
import shutil
import time

import faults
import kills
import look
import place

MIB = 1 << 20
WRITERS = ("backup", "checkpoints", "prune", "prune-beside", "clean", "rebuild")


def writers(table, names=WRITERS):
    return [table.scenarios[name] for name in names if table.wants(name)]


def every(table, found):
    return [point for number, point in enumerate(found, 1) if number % table.options.every == 0]


def vanishing(table):
    """The store gets another name in mid-run, so that nothing, or an empty directory, is in its place: a disk that is unmounted."""
    for scenario in writers(table):
        calls = list(enumerate(kills.count(scenario), 1))
        for number, (call, path) in every(table, calls):
            for leaves in ("nothing", "directory"):
                yield "gone", scenario.name, f"{number} ({call} {path}), leaves {leaves}", scenario, gone(scenario, number, leaves)


def gone(scenario, number, leaves):
    def act(root):
        base = scenario.base
        scenario.start(root)
        store, away = root / "store", root / "away"
        if leaves == "directory":
            away.mkdir()
        variables = {"BETWEEN_BELOW": str(root), "BETWEEN_AT": str(number), "BETWEEN_HOW": "gone", "BETWEEN_GONE": f"{store}:{away}"}
        ended = base.workshop.run(base.command(root, scenario.arguments), base.nights, variables)
        if away.exists() and any(away.iterdir()):
            instead = sorted(path.name for path in store.iterdir()) if store.exists() else []
            wrong = [name for name in instead if not name.startswith(("localdb", "statcache"))]
            look.must(not wrong, f"left behind where the store was: {wrong}")
            shutil.rmtree(store, ignore_errors=True)
            away.rename(store)
        elif away.exists():
            away.rmdir()
        faults.ends_well(scenario, root, ended, "")
        look.Look(base, root, scenario.may_go).all(scenario.again)
        return ended.returncode
    return act


def filters(table):
    """A filter program that dies at its n-th segment, having written half of it."""
    for scenario in writers(table, ("backup", "checkpoints")):
        for number in every(table, range(1, 9)):
            for end in ("exit 1", "kill -9 $$", "kill -TERM $$"):
                yield "filter", scenario.name, f"segment {number}, {end}", scenario, filtered(scenario, number, end)


def filtered(scenario, number, end):
    def act(root):
        base = scenario.base
        scenario.start(root)
        count = f"echo >>{root}/segments; [ $(wc -l <{root}/segments) -lt {number} ]"
        options = ["--jobs=1", "--filter-extension=", f"--filter={count} || {{ head -c 20000; {end}; }}; cat"]
        arguments = [option for option in scenario.arguments if not option.startswith(("--jobs", "--compression"))] + options
        ended = base.workshop.run(base.command(root, arguments), base.nights)
        look.must(ended.returncode == 1 or not (root / "segments").read_text().count("\n") >= number, look.told(ended))
        look.must(ended.returncode == 0 or "filter" in ended.stderr or "head -c" in ended.stderr, look.told(ended))
        look.must("panicked" not in ended.stderr, look.told(ended))
        look.Look(base, root, scenario.may_go).all(scenario.again)
        return ended.returncode
    return act


def clocks(table):
    """The clock jumps by three days, or by a year, at its n-th reading."""
    for scenario in writers(table):
        for number in every(table, range(1, 25)):
            for days in (-365, -3, 3, 365):
                yield "clock", scenario.name, f"reading {number}, {days} days", scenario, jumping(scenario, number, days)
        if scenario.name == "backup":
            for number in every(table, range(1, 25)):
                yield "clock", "name taken", f"reading {number}, -3 days", scenario, jumping(scenario, number, -3, taken=20)


def jumping(scenario, number, days, taken=0):
    """`taken` names of snapshots, of this second and the next ones, are taken: the run must not wait for a clock that was set back."""
    def act(root):
        base = scenario.base
        scenario.start(root)
        now = int(time.time()) + base.nights * place.DAY
        names = [time.strftime("%Y%m%dT%H%M%S", time.gmtime(now + second)) for second in range(taken)]
        for name in names:
            (root / "store" / f"snapshot-{name}.sha1sums").touch()
        variables = {"BETWEEN_JUMP": f"{number}:{days * place.DAY}"}
        ended = base.workshop.run(base.command(root, scenario.arguments), base.nights, variables)
        look.must((ended.returncode, ended.stderr) == (0, ""), look.told(ended))
        for name in names:
            (root / "store" / f"snapshot-{name}.sha1sums").unlink()
        look.Look(base, root, scenario.may_go).all(scenario.again)
        return ended.returncode
    return act


def memory(table):
    """Less and less address space; 100 MiB are enough for every command."""
    sizes = every(table, [*range(100, 12, -4)])
    for scenario in writers(table, table.scenarios):
        for mib in sorted({100, *sizes}):
            yield "memory", scenario.name, f"{mib} MiB", scenario, little(scenario, mib)


def little(scenario, mib):
    def act(root):
        base = scenario.base
        scenario.start(root)
        limit = ["prlimit", f"--as={mib * MIB}"]
        ended = base.workshop.run(base.command(root, scenario.arguments), base.nights, prefix=limit)
        # Without memory Rust programs are ended by SIGABRT; that is a death like any other.
        look.must(ended.returncode == 0 or mib < 100, look.told(ended))
        look.must("panicked" not in ended.stderr, look.told(ended))
        look.Look(base, root, scenario.may_go).all(scenario.again)
        return ended.returncode
    return act


def disks(table):
    """A disk that is really full, with a little more room each time. Only root may mount one."""
    if os.geteuid() != 0:
        return
    for scenario in writers(table):
        for room in every(table, range(0, 1200, 24)):
            yield "disk", scenario.name, f"{room} KiB of room", scenario, full(scenario, room)


def full(scenario, room):
    def act(root):
        base = scenario.base
        scenario.start(root)
        pages = sum(-(-path.lstat().st_size // 4096) + 1 for path in root.rglob("*"))
        small, after = root.with_name("small"), root.with_name("after")
        small.mkdir()
        script = (f"mount -t tmpfs -o size={pages * 4 + room}k none {small} && cp -a {root}/. {small} || exit 99\n"
                  f'"$@"; code=$?; cp -a {small}/. {after}; exit $code')
        after.mkdir()
        prefix = ["unshare", "-m", "sh", "-c", script, "sh"]
        ended = base.workshop.run(base.command(small, scenario.arguments), base.nights, prefix=prefix)
        look.must(ended.returncode != 99, f"this has to mount a tmpfs: {ended.stderr}")
        shutil.rmtree(root)
        after.rename(root)
        if ended.returncode:
            look.must("No space left on device" in ended.stderr or "disk is full" in ended.stderr, look.told(ended))
        small.rmdir()
        ended.stderr = ended.stderr.replace(str(small), str(root))
        faults.ends_well(scenario, root, ended, "")
        look.Look(base, root, scenario.may_go).all(scenario.again)
        return ended.returncode
    return act
