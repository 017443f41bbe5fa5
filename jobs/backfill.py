"""Old days again, one run after another, as the driver of a Ray job.

    ray job submit --address http://HEAD:8265 --working-dir . -- \
        python jobs/backfill.py flights.yaml --from 2026-10-01 --to 2026-10-07

A run a day, whose ``dataset.window`` ends with that day; only what changed since is computed. LATEST stays where it
is, and no drift is told between a day long gone and the latest. Arguments are those of ``featflow run`` and the days.
Stops at the first run that fails and ends with its exit code.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date, timedelta

from featflow.cli import main

ON_CLUSTER = ("engine.kind=ray", "engine.address=auto", "latest=false", "analyses.drift=false")


def days(first: date, last: date) -> list[str]:
    """Return the days from one to another, both among them."""
    return [str(first + timedelta(days=number)) for number in range((last - first).days + 1)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run a configuration for old days.")
    parser.add_argument("--from", dest="first", type=date.fromisoformat, required=True, metavar="DAY")
    parser.add_argument("--to", dest="last", type=date.fromisoformat, required=True, metavar="DAY")
    chosen, others = parser.parse_known_args()
    if chosen.last < chosen.first:
        parser.error(f"--to {chosen.last} is before --from {chosen.first}")
    for day in days(chosen.first, chosen.last):
        settings = (*ON_CLUSTER, f"dataset.as_of={day}")
        try:
            main(["run", *others, "--json", *(word for each in settings for word in ("--set", each))])
        except SystemExit as end:
            if end.code:
                raise
    sys.exit(0)
