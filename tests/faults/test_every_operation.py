"""A fault at an operation of a run, of gc or of an export: the same result or a named error, and nothing half.

A seeded sample of all points; `python benchmarks/faults.py --only every` tries each of them.
"""

from __future__ import annotations

import random

import pytest
from fault_scenarios import SCENARIOS
from fault_trials import points, trial, undisturbed
from faulty_store import KINDS, Fault, faulty_world


@pytest.mark.parametrize(("number", "name"), list(enumerate(SCENARIOS)))
def test_a_fault_costs_no_more_than_the_run_that_met_it(number, name):
    """Every other kind of fault in a scenario, the others in the next."""
    draws = random.Random(name)
    with faulty_world():
        of = undisturbed(SCENARIOS[name])
        for kind in list(KINDS)[number % 2 :: 2]:
            found = trial(of, draws.choice(list(points(of, [kind]))))
            assert not found.faults, str(found)


def test_files_that_an_export_cannot_look_at_are_named():
    """Whether Feast can read them as they are is in their footers, which it opens again."""
    with faulty_world():
        of = undisturbed(SCENARIOS["export in place"])
        looks = [number for number, (verb, path) in enumerate(of.operations) if verb == "info" and "/part-" in path]
        found = [trial(of, Fault("fails for good", number)) for number in looks]
        assert [each.faults for each in found] == [[]] * len(looks)
        assert {each.ended for each in found} == {"exit 4"}
