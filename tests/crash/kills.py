"""The process killed at each call that changes something: instead of the call, and in the middle of what it writes."""
import look


def count(scenario, kind="change"):
    """Returns what a run does, call by call, when nothing happens to it."""
    workshop, base = scenario.base.workshop, scenario.base
    root = scenario.start(workshop.directory / f"count-{scenario.name}-{kind}")
    path = workshop.directory / f"calls-{scenario.name}-{kind}"
    path.unlink(missing_ok=True)
    variables = {"BETWEEN_BELOW": str(root), "BETWEEN_COUNT": str(path), "BETWEEN_KIND": kind}
    ended = workshop.run(base.command(root, scenario.arguments), base.nights, variables)
    look.must(look.is_quiet(ended), f"{scenario.name}: {look.told(ended)}")
    return [tuple(line.split("\t")[1:]) for line in path.read_text().splitlines()]


def trials(table):
    for scenario in table.scenarios.values():
        if not (table.wants(scenario.name) and scenario.writes):
            continue
        for number, (call, path) in enumerate(count(scenario), 1):
            if number % table.options.every == 0:
                for how in ("kill", "half") if call in ("write", "pwrite") else ("kill",):
                    yield "kill", scenario.name, f"{number} ({call} {path}), {how}", scenario, killed(scenario, number, how)


def killed(scenario, number, how):
    def act(root):
        base = scenario.base
        scenario.start(root)
        variables = {"BETWEEN_BELOW": str(root), "BETWEEN_AT": str(number), "BETWEEN_HOW": how}
        ended = base.workshop.run(base.command(root, scenario.arguments), base.nights, variables)
        # Threads may make fewer calls this time; then the run came to its end.
        look.must(ended.returncode in (-9, 0), look.told(ended))
        look.Look(base, root, scenario.may_go).all(scenario.again)
        return ended.returncode
    return act
