"""Calls that fail: each that changes store or local state, with the errors that disks and systems give, once or from then on; and each that
reads them. The run has to end by itself, without a panic, with the exit code that the manual has for it, and to name the thing."""
import errno
import os
import pathlib
import re

import kills
import look
import place

CHANGING = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)
OPENING = (errno.EMFILE,)
SEGMENT = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def points(table, kind, errors_of):
    """Yields each call with each fault; of the short form every so-manieth, so that calls and faults both take turns."""
    turn = 0
    for scenario in table.scenarios.values():
        if not table.wants(scenario.name):
            continue
        for number, (call, path) in enumerate(kills.count(scenario, kind), 1):
            if table.options.calls and call not in table.options.calls:
                continue
            for how in errors_of(call):
                turn += 1
                if turn % table.options.every == 0:
                    yield scenario, number, call, path, how


def changing(table):
    def errors_of(call):
        once = [(str(error), None) for error in CHANGING + (OPENING if call == "open" else ())]
        lasting = [(str(error), "-1") for error in CHANGING]
        return once + lasting + ([("short", None)] if call in ("write", "pwrite") else [])
    for scenario, number, call, path, (how, until) in points(table, "change", errors_of):
        where = f"{number} ({call} {path}), {shown(how)}{' from then on' if until else ''}"
        yield "fault", scenario.name, where, scenario, failing(scenario, "change", number, how, until)


def reading(table):
    def errors_of(call):
        return [str(errno.EIO)] + [str(errno.EMFILE)] * (call == "open") + ["short"] * (call in ("read", "pread"))
    for scenario, number, call, path, how in points(table, "read", errors_of):
        yield "read", scenario.name, f"{number} ({call} {path}), {shown(how)}", scenario, failing(scenario, "read", number, how, None)


def shown(how):
    return errno.errorcode[int(how)] if how.isdigit() else how


def failing(scenario, kind, number, how, until):
    def act(root):
        base = scenario.base
        scenario.start(root)
        variables = {"BETWEEN_BELOW": str(root), "BETWEEN_KIND": kind, "BETWEEN_AT": str(number), "BETWEEN_HOW": how}
        if until:
            variables["BETWEEN_UNTIL"] = until
        ended = base.workshop.run(base.command(root, scenario.arguments), base.nights, variables)
        reason = os.strerror(int(how)) if how.isdigit() else ""
        ends_well(scenario, root, ended, reason)
        if how == "short":
            look.must(ended.returncode == 0, f"a short {kind} was not gone on with: {look.told(ended)}")
        look.Look(base, root, scenario.may_go).all(scenario.again)
        return ended.returncode
    return act


def ends_well(scenario, root, ended, reason):
    """A run that met a fault ends as the manual says."""
    told, base = look.told(ended), scenario.base
    look.must(ended.returncode in (0, 1, 3), told)
    look.must("panicked" not in ended.stderr, told)
    lines = ended.stderr.strip().splitlines()
    look.must(ended.returncode == 0 or lines, told)
    look.must(all(line.startswith("pileus: ") for line in lines), told)
    # Of several lines, the last may only say what follows from the others.
    names = (str(root), "segment ", "tree", "snapshot ", "stat cache", "localdb.sqlite")
    is_named = any(name in ended.stderr for name in names) or SEGMENT.search(ended.stderr)
    look.must(not lines or is_named, f"the thing is not named: {told}")
    look.must(not lines or any(line.count(": ") >= 2 for line in lines), f"the thing or the reason is not named: {told}")
    if reason and ended.returncode == 1:
        of_sqlite = ("local database ", "the disk cannot read it")
        look.must(any(text in ended.stderr for text in (reason, *of_sqlite)), f"the reason is not told: {told}")
    is_new = [name for name in base.names(root) if name not in base.manifests and not name.endswith(".checkpoint")]
    if scenario.arguments[0] == "backup":
        look.must(bool(is_new) == (ended.returncode != 1), f"{'a' if is_new else 'no'} new snapshot, {told}")
    if scenario.arguments[0] == "restore":
        restored(scenario, root, ended)


def restored(scenario, root, ended):
    """Nothing wrong stands under a true name unless it is told, and what is said to be whole is."""
    base, target = scenario.base, root / "back"
    newest = max(base.manifests)
    found = place.manifest(target / "tree") if (target / "tree").exists() else {}
    if ended.returncode == 0:
        look.must(found == base.manifests[newest], "the restore said that it is whole, and it is not")
    for path, what in found.items():
        if what[0] not in ("directory", "link") and not path.endswith(".damaged"):
            wanted = base.manifests[newest].get(path)
            is_temporary = pathlib.Path(path).name.startswith(".")
            is_told = any(f"tree/{path}: " in line and "is not what was backed up" in line for line in ended.stderr.splitlines())
            is_right = wanted is not None and wanted[0] == what[0]
            look.must(is_temporary or is_told or is_right, f"{path} has wrong contents: {look.told(ended)}")
