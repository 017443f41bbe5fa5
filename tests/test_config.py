"""What a user may write, and what is said of what may not."""

from __future__ import annotations

import pytest

from featflow.config import load, parse
from featflow.errors import ConfigurationError

GOOD = {"dataset": {"source": "a"}, "output": "b"}


def with_key(path, value):
    values = {"dataset": dict(GOOD["dataset"]), "output": "b"}
    *parents, last = path.split(".")
    inner = values
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("dataset.target", ["y"], "'dataset.target' is not a known key; did you mean 'targets'?"),
        ("analyses.ranking.binz", 1, "'analyses.ranking.binz' is not a known key"),
        ("colour", 1, "'colour' is not a known key; known keys are analyses, budget"),
        ("codebook.bins", 1, "'codebook.bins': Input should be greater than or equal to 2 (got 1)"),
        ("budget.memory", "lots", "'budget.memory'"),
        ("budget.bad_rows", 2, "'budget.bad_rows': Input should be less than or equal to 1 (got 2)"),
        ("engine.kind", "dask", "'engine.kind': Input should be 'auto', 'ray' or 'serial' (got 'dask')"),
        ("dataset.kinds", {"x": "float"}, "'dataset.kinds.x'"),
        ("dataset.source", [], "'dataset.source'"),
        ("dataset.source", " ", "'dataset.source"),
        ("output", "s3://key:secret@bucket/x", "holds credentials"),
    ],
)
def test_bad_values_are_named(path, value, message):
    with pytest.raises(ConfigurationError) as caught:
        parse(with_key(path, value))
    assert message in str(caught.value)
    assert "secret@" not in str(caught.value)


def test_required_keys_are_named():
    with pytest.raises(ConfigurationError, match=r"'dataset' is required; 'output' is required"):
        parse({})


def test_analyses_may_be_switched():
    off = parse(GOOD | {"analyses": {"interaction": False, "correlation": True}}).analyses
    assert off.interaction is None
    assert off.correlation is not None
    assert off.ranking is not None


def test_credentials_are_in_no_repr_and_no_public_form():
    config = parse(with_key("dataset.storage_options", {"secret": "hunter2"}))
    assert "hunter2" not in repr(config) + str(config.public())
    with pytest.raises(ConfigurationError) as caught:
        parse(with_key("dataset.storage_options", "hunter2"))
    assert "hunter2" not in str(caught.value)


def test_overrides(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("dataset: {source: a}\noutput: b\n")
    config = load(str(path), ["dataset.targets=[x, y]", "codebook.bins=8", "analyses.interaction=false", "output=c=d"])
    assert config.dataset.targets == ["x", "y"]
    assert (config.codebook.bins, config.analyses.interaction, config.output) == (8, None, "c=d")
    with pytest.raises(ConfigurationError, match=r"key\.path=value"):
        load(str(path), ["codebook.bins"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- a", "found list"),
        ("", "found NoneType"),
        ("!!python/object/apply:os.getcwd []", "YAML"),
    ],
)
def test_bad_files(text, message, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        load(str(path))
    with pytest.raises(ConfigurationError, match="No such file"):
        load(str(tmp_path / "absent.yaml"))
