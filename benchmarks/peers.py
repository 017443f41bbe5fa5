"""featflow beside what one would use instead, on the same data and in one run.

Every contender works in a process of its own, whose memory is watched; its seconds are those of its calls, without
imports and without reading, but those of the job are all there are. Answers are asserted to agree. Run it by

    python benchmarks/peers.py [--only pairs,fast,job] [--small] [--json FILE]

| line  | what                                                                                              |
|-------|---------------------------------------------------------------------------------------------------|
| pairs | counts of all pairs, beside scikit-learn's `mutual_info_score` pair by pair                       |
| fast  | counts of all pairs by a binary target, beside FAST of interpret                                  |
| job   | `featflow run` with everything on, beside pandas `corr`, `mutual_info_classif` and FAST, added up |
"""

from __future__ import annotations

from measured import Check, conclude, machine, options_of
from peers_job import run_job_line
from peers_pairs import run_fast, run_pairs

LINES = {"pairs": run_pairs, "fast": run_fast, "job": run_job_line}


def main() -> None:
    """Run the lines, print them, and check them."""
    options = options_of(__doc__ or "", tuple(LINES), engine=False)
    figures, checks = {"machine": machine(), "small": options.small}, list[Check]()
    for name in options.only:
        print(f"--- {name}", flush=True)
        figures[name], found = LINES[name](small=options.small)
        checks += found
    conclude(checks, options.json, figures | {"checks": [check.public() for check in checks]})


if __name__ == "__main__":
    main()
