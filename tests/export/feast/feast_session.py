"""Feast's own commands and reads on repositories, in a process of their own: importing Feast takes seconds, and warns.

Reads requests, a JSON list of repositories and what to ask of them, from standard input; writes the answers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from feast import FeatureStore
from feast.cli.cli import cli

PATH = list(sys.path)


def answer(request):
    repository = request["repository"]
    sys.modules.pop("definitions", None)  # of the repository before, whose folder is the first on the path
    sys.path[:] = PATH
    cli(["--chdir", repository, "apply"], standalone_mode=False)
    [line] = [
        line for line in (Path(repository) / "materialize.sh").read_text().splitlines() if "feast materialize" in line
    ]
    cli(["--chdir", repository, *line.partition("exec feast ")[2].split()], standalone_mode=False)
    store = FeatureStore(repository)
    views = store.list_feature_views()
    found = {
        "views": {view.name: {field.name: str(field.dtype) for field in view.features} for view in views},
        "vectors": {
            f.name: [f.vector_length, f.vector_search_metric] for v in views for f in v.features if f.vector_index
        },
        "tags": [view.tags for view in views],
        "services": {
            service.name: [f.name for projection in service.feature_view_projections for f in projection.features]
            for service in store.list_feature_services()
        },
        "online": store.get_online_features(request["features"], request["entities"]).to_dict(),
    }
    asked = pd.DataFrame(request["entities"])
    asked["event_timestamp"] = pd.to_datetime(request["at"], utc=True, format="ISO8601")
    found["historical"] = store.get_historical_features(asked, request["features"]).to_df().to_dict("list")
    return found


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, sys.stderr
    answers = [answer(request) for request in json.load(sys.stdin)]
    json.dump(answers, out, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value))
