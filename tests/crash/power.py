"""Power lost after each operation of a run, with what each kind of file system may then show."""
import random

import disk
import look


def trials(table):
    """Yields a trial for each different state of the disk after each operation."""
    for scenario in table.scenarios.values():
        if table.wants(scenario.name) and scenario.writes:
            yield from of_run(scenario, table.options.every)


def of_run(scenario, every):
    base = scenario.base
    workshop = base.workshop
    root = scenario.start(workshop.directory / f"power-{scenario.name}")
    record = workshop.directory / f"record-{scenario.name}"
    before = disk.Disk(root)
    variables = {"BETWEEN_BELOW": str(root), "BETWEEN_RECORD": str(record)}
    ended = workshop.run(base.command(root, scenario.arguments), base.nights, variables)
    look.must(look.is_quiet(ended), f"{scenario.name}: {look.told(ended)}")
    dice, seen = random.Random(scenario.name), set()
    operations = list(disk.records(record))
    for number, operation in enumerate(operations, 1):
        before.do(*operation)
        is_last = number == len(operations)
        for kind in disk.VIEWS:
            view = before.view(kind, dice)
            digest = disk.digest(view)
            if not is_last and (digest in seen or number % every):
                continue
            seen.add(digest)
            yield "power", scenario.name, f"{number} ({operation[0]} {operation[1]}), {kind}", scenario, check(scenario, view, is_last)
    after = {path: contents for path, contents in disk.Disk(root).view("all", dice).items()}
    modelled = before.view("all", dice)
    differing = sorted(path for path in after.keys() | modelled.keys() if after.get(path) != modelled.get(path))
    look.must(not differing, f"the record of {scenario.name} is not complete: {differing}")


def check(scenario, view, is_last):
    """Returns what looks at a state; after the last operation, what the run was asked for is durable."""
    def act(root):
        disk.put(view, root)
        found = look.Look(scenario.base, root, scenario.may_go)
        if is_last and scenario.arguments[0] == "backup":
            there = [name for name in scenario.base.names(root) if name not in scenario.base.manifests]
            look.must(any(not name.endswith(".checkpoint") for name in there), "the new snapshot is lost though the run had ended")
        if is_last and scenario.arguments[0] == "prune":
            look.must(not set(scenario.may_go) & set(scenario.base.names(root)), "what was pruned is there again")
        found.all(scenario.again)
    return act
