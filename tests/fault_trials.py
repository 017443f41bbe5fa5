"""A fault at an operation of an act, then a reader, then the act again: what came of it."""

from __future__ import annotations

import hashlib
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fault_scenarios import OUT, Objects, Scenario, differences, latest, reader_faults
from faulty_store import KINDS, TOO_LONG, Fault, FaultyFileSystem, Killed, World

from featflow.errors import EXIT_CODES, FeatflowError

__all__ = ["Outcome", "Undisturbed", "counted", "points", "trial", "undisturbed"]

ROOT = "faulty://lake"
SHA256_BYTES = 32


@dataclass(frozen=True)
class Undisturbed:
    """An act without faults."""

    scenario: Scenario
    before: Objects
    result: Any
    operations: tuple[tuple[str, str], ...]


@dataclass
class Outcome:
    """What came of a fault."""

    scenario: str
    fault: Fault
    operation: tuple[str, str] | None = None
    """The one that it met."""
    ended: str = ""
    """The same result, an exit code, killed, or not met."""
    faults: list[str] = field(default_factory=list)
    """What must not be."""

    def __str__(self) -> str:
        return f"{self.scenario}, {self.fault.kind} at {self.fault.at} {self.operation}: {self.ended}: {self.faults}"


def undisturbed(scenario: Scenario) -> Undisturbed:
    """Do it once, with no fault."""
    world = FaultyFileSystem.world = World()
    for step in scenario.before:
        if isinstance(step, dict):
            world.objects.update(step)
        else:
            step(ROOT)
    before = dict(world.objects)
    world = FaultyFileSystem.world = World(dict(before))
    scenario.act(ROOT)
    return Undisturbed(scenario, before, scenario.result(world.objects, latest(before)), tuple(world.operations))


def points(of: Undisturbed, kinds: Iterable[str] = KINDS) -> Iterator[Fault]:
    """Every kind of fault at every operation that can have it."""
    for kind in kinds:
        found = (Fault(kind, number) for number in range(len(of.operations)))
        yield from (fault for fault in found if fault.can_meet(of.operations[fault.at][0]))


def trial(of: Undisturbed, fault: Fault) -> Outcome:
    """Do it with a fault, look at what a reader sees, and do it again without one."""
    scenario, found = of.scenario, Outcome(of.scenario.name, fault)
    world = FaultyFileSystem.world = World(dict(of.before), fault)
    try:
        done = scenario.act(ROOT)
    except Killed:
        found.ended = "killed"
        if not world.is_dead:
            found.faults.append("killed of itself")
    except FeatflowError as error:
        found.ended = f"exit {error.exit_code}"
        if error.exit_code not in {2, 3, 4, 5} or error.exit_code not in EXIT_CODES:
            found.faults.append(f"exit code {error.exit_code}: {error}")
    except Exception as error:  # noqa: BLE001  what a user would see as a traceback
        found.ended = "traceback"
        found.faults.append(_told(error))
    else:
        found.ended = "same"
        is_refused = fault.kind == "is refused" and (world.struck or ("", ""))[1].startswith(scenario.refusable)
        if not is_refused and not scenario.is_told(done):
            _compare(of, world.objects, found, "done, and")
    found.operation = world.struck
    if found.operation is None:
        found.ended = "not met"
    if found.ended != "same" and world.is_dead != found.fault.kind.startswith("killed"):
        found.faults.append("the process went on after it was killed")
    found.faults += reader_faults(world.objects, of.before)
    found.faults += scenario.broken(world.objects)
    _go_on(of, world, found)
    return found


def _go_on(of: Undisturbed, world: World, found: Outcome) -> None:
    """Do it again, later than any lease."""
    before = dict(world.objects)
    later = FaultyFileSystem.world = World(dict(before), seconds=world.seconds + 2 * TOO_LONG)
    try:
        of.scenario.act(ROOT)
    except Exception as error:  # noqa: BLE001  nothing fails any more
        found.faults.append(f"the next one failed: {_told(error)}")
        return
    _compare(of, later.objects, found, "the next one:")
    found.faults += [f"after the next one, {text}" for text in reader_faults(later.objects, before)]
    for path, data in later.objects.items():
        if path.startswith(f"{OUT}/states/") and path.endswith(".arrow"):
            stream, digest = data[:-SHA256_BYTES], data[-SHA256_BYTES:]
            if hashlib.sha256(stream).digest() != digest:
                found.faults.append(f"{path} is half a state")


def _told(error: Exception) -> str:
    """An error, and the way to it through featflow, without which nobody finds what to mend."""
    frames = traceback.extract_tb(error.__traceback__)
    way = [
        f"{each.filename.rpartition('featflow/')[2]}:{each.lineno}" for each in frames if "/featflow/" in each.filename
    ]
    return f"{error!r} by {' '.join(way[-5:])}"


def _compare(of: Undisturbed, objects: Objects, found: Outcome, when: str) -> None:
    try:
        different = differences(of.result, of.scenario.result(objects, latest(of.before)))
    except Exception as error:  # noqa: BLE001  whatever is not as it should be
        found.faults.append(f"{when} nothing to compare: {error!r}")
        return
    if different:
        found.faults.append(f"{when} another result in {different[:5]}")


def counted(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], Counter[str]]:
    """How points of each scenario and kind ended, and how many with something that must not be."""
    table: dict[tuple[str, str], Counter[str]] = {}
    for each in outcomes:
        counts = table.setdefault((each.scenario, each.fault.kind), Counter())
        counts["points"] += each.ended != "not met"
        counts[each.ended] += 1
        counts["bad"] += bool(each.faults)
    return table
