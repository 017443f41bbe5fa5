"""A fault at an operation of a run, of gc or of an export: the same result or a named error, and nothing half.

A seeded sample of all points; `python benchmarks/faults.py --only every` tries each of them.
"""

from __future__ import annotations

import os
import random

import pytest
from fault_scenarios import SCENARIOS
from fault_trials import points, trial, undisturbed
from faulty_store import KINDS, faulty_world

POINTS = int(os.environ.get("FEATFLOW_FAULTS", "1"))
"""Points of each kind in each scenario."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_costs_no_more_than_the_run_that_met_it(name):
    draws = random.Random(name)
    with faulty_world():
        of = undisturbed(SCENARIOS[name])
        for kind in KINDS:
            every = list(points(of, [kind]))
            for fault in draws.sample(every, min(POINTS, len(every))):
                found = trial(of, fault)
                assert not found.faults, str(found)
