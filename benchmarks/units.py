"""Whether p-values that count units are what they say they are, and what they cost in power.

Rows of one day or user depend on one another. Every line draws such rows, whose truth is known, and asserts what the
ranking says of them; brute force permutes units, or rows within units. Run it by

    python benchmarks/units.py [--small] [--only levels,power] [--draws N] [--json FILE]

| line   | what                                                                                        |
|--------|---------------------------------------------------------------------------------------------|
| levels | false-positive rates at .05: units, rows a unit, where both sides vary, levels and classes  |
| power  | true effects by row and of units, beside brute force and beside the null of rows            |
| trial  | whole runs of 30 days: one column that says something, 35 that look so where rows count     |
| fdr    | false discoveries among 1,000 columns of noise and 50 true ones, half of each by unit       |

Rates have limits for a stated number of draws; fewer widen them by three binomial standard errors. Seeds are fixed. The
exit code is 1 if any line fails.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import units_discoveries
import units_levels
import units_power
import units_trial
from measured import Check, conclude

LINES: dict[str, Callable[[bool, int | None], list[Check]]] = {
    "levels": units_levels.run,
    "power": units_power.run,
    "trial": units_trial.run,
    "fdr": units_discoveries.run,
}


def main() -> None:
    """Run the lines, print them, and check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(LINES), metavar="NAME", help="which lines to run, by commas")
    parser.add_argument("--small", action="store_true", help="a few cheap cells, columns and runs")
    parser.add_argument("--draws", type=int, metavar="N", help="draws a cell; runs of trial and fdr at most")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := sorted(set(names) - set(LINES)):
        parser.error(f"no line {', '.join(unknown)}; there are {', '.join(LINES)}")
    checks: list[Check] = []
    for name in names:
        began = time.monotonic()
        print(f"--- line {name}")
        checks += LINES[name](options.small, options.draws)
        print(f"--- line {name}: {time.monotonic() - began:.0f} s\n", flush=True)
    conclude(checks, options.json, [check.public() for check in checks])


if __name__ == "__main__":
    main()
