"""A fault at every operation of small acts on a store in memory, then kills on disk and S3: the line "every"."""

from __future__ import annotations

import logging
import random
from typing import Any

from fault_scenarios import SCENARIOS
from fault_trials import Outcome, counted, points, trial, undisturbed
from faults_killed import killed_on_disk, killed_on_s3
from faulty_store import faulty_world
from measured import Check, print_table

import featflow.pipeline.pipeline  # noqa: F401  children that are killed need not import it each

__all__ = ["run_every"]

SMALL = 1
"""Points of each scenario of the small version: `tests/faults/test_every_operation.py` tries more."""
ENDS = ("same", "exit 2", "exit 3", "exit 4", "exit 5", "killed", "traceback", "not met")


def run_every(small: bool) -> tuple[list[dict[str, Any]], list[Check]]:
    """Return what came of every point, and that nothing came that must not."""
    killed = killed_on_disk(small) + killed_on_s3(small)  # first: no thread may run where a process is forked
    logging.disable(logging.WARNING)
    outcomes = list[Outcome]()
    with faulty_world():
        for scenario in SCENARIOS.values():
            of = undisturbed(scenario)
            every = list(points(of))
            chosen = random.Random(scenario.name).sample(every, SMALL) if small else every  # noqa: S311  no secret
            found = [trial(of, fault) for fault in chosen]
            print(f"{scenario.name}: {len(of.operations)} operations, {len(found)} points", flush=True)
            print(*(each for each in found if each.faults), sep="\n", flush=True)
            outcomes += found
    logging.disable(logging.NOTSET)
    table = counted(outcomes)
    print_table(
        ("scenario", "kind", "points", *ENDS, "bad"),
        [(*key, *(counts[each] for each in ("points", *ENDS, "bad"))) for key, counts in table.items()],
    )
    columns = ("store", "scenario", "points", "of", "bad", "partials left")
    print_table(columns, [tuple(row[name] for name in columns) for row in killed])
    figures = [
        {"store": "memory", "scenario": scenario, "kind": kind} | counts for (scenario, kind), counts in table.items()
    ]
    checks = [
        Check("every", "faults with a traceback, another result or anything half", _bad(outcomes), 0, 0),
        Check("every", "kinds of faults that were met", len({kind for _, kind in table}), 1 if small else 11, 11),
        Check("every", "kills after which anything was half or other", sum(row["bad"] for row in killed), 0, 0),
    ]
    return [*figures, *killed], checks


def _bad(outcomes: list[Outcome]) -> int:
    return sum(bool(each.faults) for each in outcomes)
