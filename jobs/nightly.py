"""A night's run, as the driver of a Ray job.

    ray job submit --address http://HEAD:8265 --working-dir . -- python jobs/nightly.py flights.yaml
    ray job submit --address http://HEAD:8265 --working-dir . -- \
        python jobs/nightly.py flights.yaml --set dataset.as_of=2026-11-20

The working directory holds this folder and the configuration; featflow is in the cluster's image. Arguments are those
of ``featflow run``; it runs on the cluster that the job is submitted to. Ends with featflow's exit code, which Ray
keeps as ``driver_exit_code``.
"""

from __future__ import annotations

import sys

from featflow.cli import main

if __name__ == "__main__":
    sys.argv[1:] = ["run", *sys.argv[1:], "--json", "--set", "engine.kind=ray", "--set", "engine.address=auto"]
    main()
