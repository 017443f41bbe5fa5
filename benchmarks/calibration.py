"""Whether p-values, q-values, intervals and decompositions are what they say they are.

Every line draws data whose truth is known, prints what the library says of it, and asserts it. Null draws are permuted
rows; no formula of the library takes part in them. Run it by

    python benchmarks/calibration.py [--small] [--line 1,2,3] [--shared DIR] [--json FILE]

| line     | what                                                                             |
|----------|----------------------------------------------------------------------------------|
| 1        | false-positive rates of nulls from 2 to 100,000 levels; seconds of their moments |
| 2        | false discoveries among 1,000 columns of noise and 50 true ones                  |
| 3        | coverage of the jackknife's intervals, with and without dependent rows           |
| 3b       | the same of Pearson's and Spearman's correlation                                 |
| 3c       | the same of synergy                                                              |
| 4        | XOR of two bits, and a pair that is no more than its parts                       |
| 5        | missing part + value part = information, on real data                            |
| 6        | strata that explain a feature away                                               |
| clusters | false-positive rates where users come in many rows                               |

A rate has limits for a stated number of draws; ``--small`` draws fewer and widens them by three binomial standard
errors. Seeds are fixed. The exit code is 1 if any line fails.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import calibration_columns
import calibration_errors
import calibration_missing
import calibration_null
import calibration_pairs
import calibration_pearson
import calibration_strata
from measured import Check, conclude

LINES: dict[str, Callable[[bool, Path], list[Check]]] = {
    "1": lambda small, _: calibration_null.run(small),
    "2": lambda small, _: calibration_columns.run(small),
    "3": lambda small, _: calibration_errors.run_coverage(small),
    "3b": lambda small, _: calibration_pearson.run(small),
    "3c": lambda small, _: calibration_pairs.run("3c", small),
    "4": lambda small, _: calibration_pairs.run("4", small),
    "5": lambda _, shared: calibration_missing.run(shared),
    "6": calibration_strata.run,
    "clusters": lambda small, _: calibration_errors.run_clusters(small),
}


def main() -> None:
    """Run the lines, print them, and check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--line", default=",".join(LINES), metavar="LINES", help="which to run, by commas")
    parser.add_argument("--small", action="store_true", help="fewer draws, rows and columns; a minute in all")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), metavar="DIR", help="where real data lie")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    options = parser.parse_args()
    names = options.line.split(",")
    if unknown := sorted(set(names) - set(LINES)):
        parser.error(f"no line {', '.join(unknown)}; there are {', '.join(LINES)}")
    checks: list[Check] = []
    for name in names:
        began = time.monotonic()
        print(f"--- line {name}")
        checks += LINES[name](options.small, options.shared)
        print(f"--- line {name}: {time.monotonic() - began:.0f} s\n", flush=True)
    conclude(checks, options.json, [check.public() for check in checks])


if __name__ == "__main__":
    main()
