"""Vectors of images and nothing else, as the driver of a Ray job.

    ray job submit --address http://HEAD:8265 --working-dir . -- python jobs/embed.py photos.yaml

Writes the ``embedding`` and ``embedding_profile`` tables. LATEST stays where it is: readers of other tables follow it.
Vectors are kept by shard: a run of everything, later, finds them. Arguments are those of ``featflow run``. Ends with
featflow's exit code.
"""

from __future__ import annotations

import sys

from featflow.cli import main

if __name__ == "__main__":
    settings = ["engine.kind=ray", "engine.address=auto", "latest=false"]
    sys.argv[1:] = [
        "run",
        *sys.argv[1:],
        "--json",
        "--only",
        "embedding,embedding_profile",
        *(word for each in settings for word in ("--set", each)),
    ]
    main()
