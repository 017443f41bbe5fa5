"""What a user may write, and what is said of what may not."""

from __future__ import annotations

from contextlib import suppress
from random import Random

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


HEAD = "dataset:\n  source: a\n"
OUTPUT = "output: b\n"


def refused(text, tmp_path):
    """Return what is said of a configuration's text or bytes."""
    path = tmp_path / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as caught:
        load(str(path))
    message = str(caught.value)
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("targets", "[No]", "YAML reads No as the truth value false; if it is a name, write it in quotes: 'No'"),
        ("targets", "[y, on]", "YAML reads on as the truth value true"),
        ("targets", "[4]", "YAML reads 4 as the number 4"),
        ("targets", "[010]", "YAML reads 010 as the number 8; if it is a name, write it in quotes: '010'"),
        ("targets", "[1_000]", "YAML reads 1_000 as the number 1000"),
        ("targets", "[12:30]", "YAML reads 12:30 as the number 750"),
        ("targets", "[1.5]", "YAML reads 1.5 as the number 1.5"),
        ("targets", "[2024-01-01]", "YAML reads 2024-01-01 as a date; if it is a name, write it in quotes"),
        ("targets", "[2024-01-01 10:00:00]", "YAML reads 2024-01-01 10:00:00 as a time"),
        ("targets", "[~]", "YAML reads ~ as nothing"),
        ("exclude", "no", "'dataset.exclude': YAML reads no as the truth value false"),
        ("event_time", "on", "'dataset.event_time': YAML reads on as the truth value true"),
        ("null_values", "[NA, -999]", "YAML reads -999 as the number -999"),
        ("images", "[4]", "'dataset.images': YAML reads 4 as the number 4"),
        ("derive", "[{parts: 4}]", "YAML reads 4 as the number 4"),
        ("kinds", "{no: number}", "line 3: YAML reads the key no as a truth value; write it in quotes: 'no'"),
        ("kinds", "{0: number}", "line 3: YAML reads the key 0 as a number; write it in quotes: '0'"),
        ("kinds", "{2024-01-01: number}", "YAML reads the key 2024-01-01 as a date"),
    ],
)
def test_a_name_that_yaml_reads_as_something_else_is_to_be_quoted(key, text, words, tmp_path):
    assert words in refused(f"{HEAD}  {key}: {text}\n{OUTPUT}", tmp_path)


def test_the_advice_to_quote_is_right(tmp_path):
    """What is said to be quoted is accepted then, and what quotes do not mend is not said to be quoted."""
    path = tmp_path / "c.yaml"
    path.write_text(f"{HEAD}  targets: ['No', '4', '2024-01-01']\n  kinds: {{'no': number}}\n{OUTPUT}")
    assert load(str(path)).dataset.targets == ["No", "4", "2024-01-01"]
    for bad in ("  kinds: {x: no}\n", "  shard_bytes: no\n"):
        assert "quotes" not in refused(HEAD + bad + OUTPUT, tmp_path)
    assert "quotes" in refused(f"{HEAD}  targets: [no]\n{OUTPUT}", tmp_path)
    path.write_text(HEAD + OUTPUT)
    with pytest.raises(ConfigurationError, match="YAML reads no as the truth value false"):
        load(str(path), ["dataset.exclude=[no]"])


@pytest.mark.parametrize("name", ["2024-13-45", "0000-01-01", "0x_", "1:99999999999999:0", "9" * 5_000, "=", "<<"])
def test_what_only_looks_like_a_number_or_a_date_is_a_name(name, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(f"{HEAD}  targets: [{name}]\n{OUTPUT}")
    assert load(str(path)).dataset.targets == [name]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dataset:\n\tsource: a\n", "line 2, column 1: a tab; indent by spaces"),
        ("dataset:\n  source:\ta\n", "line 2, column 10: a tab"),
        (f"{HEAD}{OUTPUT}targets: [y]\n", "it belongs to 'dataset': 'dataset.targets'"),
        (f"dataset:\nsource: a\n{OUTPUT}", "'dataset' is empty; indent its keys below it"),
        (f"{HEAD}  output: b\n", "it belongs to the top level: 'output'"),
        (f"{HEAD}{OUTPUT}target: [y]\n", "did you mean 'dataset.targets'?"),
        (
            f"{HEAD}{OUTPUT}keep: 3\n",
            "it belongs elsewhere: 'analyses.correlation.keep' or 'analyses.interaction.keep'",
        ),
        (
            f"{HEAD}  images: [{{colum: x}}]\n{OUTPUT}",
            "'dataset.images.colum' is not a known key; did you mean 'column'?",
        ),
        (
            f"{HEAD}  derive: [{{parts: x, zone: y}}]\n{OUTPUT}",
            "'dataset.derive.parts.zone' is not a known key; did you mean 'timezone'?",
        ),
        ("", "it is empty"),
        ("# nothing\n", "it is empty"),
        ("- dataset\n", "it is a list; write keys, which begin without dash"),
        ("dataset\n", "it is one text or number; a key is followed by a colon and a space"),
        ("source:a\n", "a key is followed by a colon and a space"),
        ("4\n", "it is one text or number"),
        (f"{HEAD}  source: c\n{OUTPUT}", "line 3: the key 'source' stands in line 2, too"),
        (f"dataset: {{source: a, source: b}}\n{OUTPUT}", "the key 'source' stands in line 1, too"),
        ("? [a]\n: b\n", "line 1: a key is a list or has keys of its own"),
        ("dataset:\n  source: *.parquet\n", "line 2, column 11: a value that begins with * is to be in quotes"),
        (f"{HEAD}  exclude: [@x]\n", "a value that begins with @ is to be in quotes"),
        (f"dataset: source: a\n{OUTPUT}", "a colon where no key can be"),
        (f"dataset:\n    source: a\n  targets: [y]\n{OUTPUT}", "keys of one level begin in one column"),
        ("a: [", "a value is missing, or a bracket is not closed"),
        ("a: 'b", "a quote is not closed"),
        (f"{HEAD}{OUTPUT}---\n{HEAD}", "a second document begins"),
        ("!!python/object/apply:os.getcwd []", "not valid YAML at line 1"),
        ("dataset:\0", "line 1: the character '\\x00' may not be there"),
        (f"{HEAD}{OUTPUT}engine: serial\n", "'engine': takes keys: kind, address"),
        (f"{HEAD}  targets:\n{OUTPUT}", "'dataset.targets' is empty; write a value, or leave it out"),
        (b"dataset:\n  source: \xe9\n", "line 2 is not UTF-8 text; save the file as UTF-8"),
        ("dataset: x".encode("utf-16"), "is UTF-16 text"),
        (b"PAR1" + bytes(90), "is data, not a configuration; write 'dataset: {source: "),
        (b"#" * 5_000_000, "is larger than 4,194,304 bytes"),
    ],
)
def test_bad_files(text, words, tmp_path):
    assert words in refused(text, tmp_path)


def aliases(first, line):
    """Return ten lines of which each stands for ten times the one before."""
    lines = [f"a: &a {first}"]
    lines += [line(chr(98 + level), ", ".join(["*" + chr(97 + level)] * 10)) for level in range(9)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (aliases("[x, x]", lambda name, parts: f"{name}: &{name} [{parts}]"), "more than 250,000 values, with aliases"),
        (aliases("{k: 1}", lambda name, parts: f"{name}: &{name} {{<<: [{parts}]}}"), "more than 250,000 values"),
        ("dataset: &d\n  source: *d\n", "line 2: an alias stands within what it stands for"),
        ("a: &a [*a]\n", "line 1: an alias stands within"),
        ("[" * 20_000, "more than 64 levels"),
        ("".join(" " * level + "a:\n" for level in range(300)), "line 64: more than 64 levels"),
    ],
)
def test_documents_that_grow_are_bounded(text, words, tmp_path):
    assert words in refused(text, tmp_path)


def test_what_yaml_has_for_repetition_is_understood(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("\ufeffdataset:\n  source: &s [a, b]\n  targets: *s\noutput: &o out\nlineage: {folder: *o}\n")
    config = load(str(path))
    assert config.dataset.targets == ["a", "b"]
    assert config.lineage.folder == "out"
    path.write_text("dataset: {source: a}\noutput: b\nbudget: {<<: {memory: 1GiB}, memory: 2GiB}\n")
    assert load(str(path)).budget.memory == 2 * 2**30


def test_what_is_no_file_of_a_configuration(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.parquet").write_bytes(b"PAR1")
    (tmp_path / "data.bin").write_bytes(b"PAR1")
    (tmp_path / "nightly.yaml").write_text(HEAD)
    (tmp_path / "photo.JPG").write_bytes(b"\xff\xd8\xff\xe0")
    for path, words in {
        "": f"it is a folder; give the file, such as {tmp_path / 'nightly.yaml'}",
        "nightl.yaml": f"No such file or directory; did you mean {tmp_path / 'nightly.yaml'}?",
        "data.bin": "is data, not a configuration",
        "photo.JPG": f"is a picture, not a configuration; give its folder: pictures:{tmp_path}",
        "a\0b": "no such name of a file",
    }.items():
        with pytest.raises(ConfigurationError) as caught:
            load(str(tmp_path / path))
        assert words in str(caught.value)
    with pytest.raises(ConfigurationError, match="it is read from a local file"):
        load("s3://bucket/c.yaml")
    for path in (f"{tmp_path}/data", f"{tmp_path}/data/a.parquet", "s3://lake/data", "delta:s3://lake/data"):
        config = load(path, ["dataset.targets=[x]"])
        assert (config.dataset.source, config.dataset.targets, config.output) == (
            [path],
            ["x"],
            "featflow-" + ("a" if "." in path else "data"),
        )


PIECES = [
    "\t",
    "\n",
    ":",
    "-",
    "[",
    "]",
    "{",
    "}",
    "&a",
    "*a",
    "*d",
    "<<:",
    "?",
    "|",
    ">",
    "'",
    '"',
    "#",
    "---",
    "...",
    "%YAML",
    "\x00",
    "\r",
    "\u2028",
    "\ufeff",
    "no",
    "4",
    "~",
    "2024-01-01",
    "=",
    "1e400",
    ".nan",
    "0x",
    "!!int",
    "!!bool",
    "!!timestamp",
    "!!null",
    "!!binary",
    "!!set",
    "!!omap",
    "!!merge",
    "!x",
]
SOUND = """dataset: &d
  source: [a, 'b', "c"]
  images: [{column: x, encoder: 'transformers:m'}]
  derive: [{parts: t, timezone: Europe/Vienna}]
  kinds: {a: time, b: category}
  event_time: t
  window: last 3 days
  as_of: 2024-01-01
output: >-
  folded
analyses: {correlation: {keep: {top: 3}}, drift: {thresholds: {psi: 1}}}
"""


def test_no_text_raises_another_error(tmp_path):
    """Sound text with pieces put in and bytes overwritten is read, or refused in the one way."""
    random = Random(7)
    path = tmp_path / "c.yaml"
    path.write_text(SOUND)
    assert load(str(path)).output == "folded"
    for _ in range(400):
        text = bytearray(SOUND.encode())
        for _ in range(random.randint(1, 4)):
            place = random.randrange(len(text))
            if random.random() < 0.7:
                text[place:place] = random.choice(PIECES).encode() + b" " * random.randint(0, 1)
            else:
                text[place] = random.randrange(256)
        path.write_bytes(text)
        with suppress(ConfigurationError):
            load(str(path))


@pytest.mark.parametrize(
    "text", ["!!int x", "!!int ''", "!!bool x", "!!timestamp x", "!!float ''", "!!binary x", "!!set [a]"]
)
def test_tags_that_do_not_fit_are_texts_or_refused(text, tmp_path):
    refused(f"dataset: {text}\n{OUTPUT}", tmp_path)


def test_of_many_errors_some_are_told(tmp_path):
    names = ", ".join(map(str, range(40)))
    assert refused(f"{HEAD}  targets: [{names}]\n{OUTPUT}", tmp_path).endswith("'9'; and 30 more")


def test_a_secret_is_not_repeated(tmp_path):
    secret = "dataset:\n  source: a\n  storage_options: {key: 'hunter2', 'hunter2\n"
    assert "hunter2" not in refused(secret, tmp_path)
    assert "hunter2" not in refused("dataset:\n  source: a\n  storage_options: hunter2\noutput: b\n", tmp_path)
