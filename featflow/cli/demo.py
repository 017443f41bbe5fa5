"""A dataset with planted truths, and a check that a run finds them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from PIL import Image
from rich.table import Table
from rich.text import Text

from featflow.config import Config, parse
from featflow.storage.run import Run
from featflow.storage.store import Store

__all__ = ["PLANTED", "Finding", "configuration", "findings", "shown_findings", "write_dataset"]

FILES = 8
"""Files of the dataset, so that a run has several shards."""
SEED = 20260101
PLANTED = {
    "spend": "the target's odds rise with it",
    "age": "both ends convert, the middle does not: no correlation, much information",
    "plan_type": "five levels with different odds",
    "referrer": "300 levels with different odds",
    "last_order": "missing more often where the target is 1: only its missing pattern tells",
    "basket": "follows spend",
}
NOISE_NUMBERS = 12
"""Numeric columns that depend on nothing; with the four of `NOISE_LEVELS` the sixteen that must rank low."""
PHOTO_EVERY, DAMAGED_EVERY, COPIED_EVERY = 20, 100, 50
"""Rows for each photo, photos for each that is cut short, and for each that is a copy of the one before."""
NOISE_LEVELS = {"device_id": 5_000, "city": 200, "browser": 12, "coin": 2}


@dataclass(frozen=True)
class Finding:
    """One planted truth, and the run's result about it."""

    planted: str
    found: str
    ok: bool


def write_dataset(root: str, rows: int) -> str:
    """Write the demo's dataset as Parquet files below ``root`` and return its URI; the same number, the same rows."""
    random = np.random.default_rng(SEED)
    store = Store(root)
    cuts = np.linspace(0, rows, FILES + 1).astype(int)
    table = _draw_table(random, rows)
    for index, (start, stop) in enumerate(pairwise(cuts)):
        store.write_parquet(f"data/part-{index}.parquet", table.slice(start, stop - start))
    return store.uri("data")


def _draw_table(random: np.random.Generator, n: int) -> pa.Table:
    spend, age = random.gamma(2.0, 30.0, n), random.uniform(18, 90, n)
    plan_type, referrer = random.integers(0, 5, n), random.zipf(1.3, n) % 300
    switch_a, switch_b = random.integers(0, 2, n), random.integers(0, 2, n)
    logit = 1.2 * (np.log(spend) - 3.8) + ((age - 54) / 18) ** 2 - 1.3
    logit += np.array([-0.8, -0.4, 0.0, 0.4, 0.8])[plan_type] + random.normal(0, 0.6, 300)[referrer]
    logit += np.where(switch_a ^ switch_b, 1.0, -1.0)
    photos, bright = _photos(n)
    flash = np.arange(n) // PHOTO_EVERY % 2
    logit += np.where(bright >= 0, np.where(bright ^ flash, 2.0, -2.0), 0.0)
    converted = random.random(n) < 1 / (1 + np.exp(-logit))
    last_order = random.normal(40, 10, n)
    columns: dict[str, object] = {
        "row_id": np.arange(n),
        "converted": converted.astype(np.int8),
        "spend": spend,
        "age": age,
        "plan_type": np.array(["free", "basic", "plus", "team", "enterprise"])[plan_type],
        "referrer": np.char.add("site-", referrer.astype(str)),
        "last_order": pa.array(last_order, mask=random.random(n) < np.where(converted, 0.25, 0.05)),
        "basket": spend * random.lognormal(0, 0.4, n),
        "switch_a": switch_a.astype(bool),
        "switch_b": switch_b.astype(bool),
        "spend_again": spend,
        "height_cm": (height := random.normal(170, 10, n)),
        "height_in": height / 2.54 + random.normal(0, 0.1, n),
        "photo": photos,
        "flash": np.where(flash, "on", "off"),
        "region": np.full(n, "north"),
        "session_id": np.char.add("s", random.permutation(n).astype(str)),
    }
    columns |= {f"noise_{index:02d}": random.normal(size=n) for index in range(NOISE_NUMBERS)}
    columns |= {name: random.integers(0, levels, n).astype(str) for name, levels in NOISE_LEVELS.items()}
    return pa.table(columns)


def _photos(n: int) -> tuple[pa.Array, np.ndarray]:
    """Return small PNG files on some rows, and whether each is bright; -1 where there is none or it is cut short."""
    random = np.random.default_rng(SEED + 1)
    places = np.arange(PHOTO_EVERY // 2, n, PHOTO_EVERY)
    bright = random.integers(0, 2, len(places))
    files: list[bytes] = []
    for index, level in enumerate(np.where(bright, 150, 50)):
        sink = io.BytesIO()
        Image.fromarray((level + random.integers(0, 60, (16, 16, 3))).astype(np.uint8)).save(sink, "PNG")
        files.append(sink.getvalue())
        if index % COPIED_EVERY == 1:
            files[index], bright[index] = files[index - 1], bright[index - 1]
        if index % DAMAGED_EVERY == DAMAGED_EVERY - 1:
            files[index], bright[index] = files[index][:100], -1
    rows: list[bytes | None] = [None] * n
    brightness = np.full(n, -1)
    for place, file, value in zip(places.tolist(), files, bright, strict=True):
        rows[place], brightness[place] = file, value
    return pa.array(rows, pa.binary()), brightness


def configuration(source: str, output: str) -> Config:
    """Return the demo's configuration."""
    dataset = {"source": source, "entity": ["row_id"], "targets": ["converted"], "shard_bytes": "8MiB"}
    return parse({"dataset": dataset | {"images": ["photo"]}, "output": output})


def findings(run: Run) -> list[Finding]:
    """Return every planted truth with the run's results about it."""
    ranked = run.table("ranking")
    profiled = {row["column"]: row for row in run.table("profile").to_dicts()}
    rows = {row["feature"]: row for row in ranked.to_dicts()}
    expected = [*PLANTED, "spend_again"]
    results = [
        Finding(
            f"{name}: {meaning}",
            f"rank {rows[name]['rank']}, {rows[name]['corrected_mi']:.4f} nats",
            rows[name]["rank"] <= len(expected),
        )
        for name, meaning in PLANTED.items()
    ]
    best = run.table("interaction").row(0, named=True)
    alone = max(rows[name]["corrected_mi"] for name in ("switch_a", "switch_b"))
    interval = "no interval" if best["ci_low"] is None else f"{best['ci_low']:.4f} to {best['ci_high']:.4f}"
    results.append(
        Finding(
            "switch_a XOR switch_b: neither tells anything alone",
            f"best pair {best['feature_a']} x {best['feature_b']}, {best['strategy']}; synergy {best['synergy']:.4f} "
            f"({interval}); alone {alone:.5f}",
            {best["feature_a"], best["feature_b"]} == {"switch_a", "switch_b"} and alone < best["synergy"] / 20,
        )
    )
    top = ranked.filter(pl.col("rank") <= len(expected))["feature"].to_list()
    noise = [name for name in top if name not in expected]
    noise_rank = ranked["noise_rank"][0]  # null where everything is significant
    noise_text = "no rank of noise" if noise_rank is None else f"nothing is significant from rank {noise_rank} on"
    results.append(
        Finding(
            "noise: 16 columns, up to 5,000 levels", f"top {len(expected)}: {noise or 'none'}; {noise_text}", not noise
        )
    )
    session = rows["session_id"]
    results.append(
        Finding(
            "session_id: a unique key, the highest raw score of all",
            f"raw {session['mi']:.3f}, corrected {session['corrected_mi']:.4f}, rank {session['rank']}, "
            f"alerts {profiled['session_id']['alerts']}",
            "id_like" in profiled["session_id"]["alerts"] and session["rank"] > len(expected),
        )
    )
    for column, alert in (("spend_again", "duplicate_of:spend"), ("region", "constant")):
        alerts = profiled[column]["alerts"]
        results.append(Finding(f"{column}: {alert}", f"alerts {alerts}", alert in alerts))
    results.append(
        Finding(
            "last_order: only whether it is missing",
            f"alerts {rows['last_order']['alerts']}",
            "missing_pattern" in rows["last_order"]["alerts"],
        )
    )
    results += _photo_findings(run, rows)
    pair = run.table("correlation").filter(
        (pl.col("method") == "pearson") & (pl.col("feature_a") == "height_cm") & (pl.col("feature_b") == "height_in")
    )
    value = float(pair["value"][0])
    results.append(Finding("height_cm and height_in: one in two units", f"Pearson {value:.4f}", value > 0.99))
    return results


def shown_findings(results: list[Finding]) -> Table:
    """Return planted truths beside results, as a table."""
    table = Table("", "planted", "found", title="Planted against found", title_justify="left")
    for finding in results:
        mark = Text("✓", "green") if finding.ok else Text("✗", "red")
        table.add_row(mark, finding.planted, finding.found)
    return table


def _photo_findings(run: Run, ranked: dict[str, dict[str, Any]]) -> list[Finding]:
    pairs = run.table("interaction").with_row_index("place", offset=1).to_dicts()
    planted = {"photo.brightness", "flash"}
    pair = next((row for row in pairs if {row["feature_a"], row["feature_b"]} == planted), None)
    known = [ranked[name]["q_value"] for name in planted if ranked[name]["q_value"] is not None]
    q_text = f"alone q at least {min(known):.2f}" if known else "alone q unknown"
    result = f"pair {pair['place']}, synergy {pair['synergy']:.4f}; {q_text}" if pair else "not among pairs"
    joint = Finding(
        "photo.brightness XOR flash: a pixel and a column, neither tells anything alone",
        result,
        pair is not None and pair["place"] <= 3 and pair["ci_low"] is not None and pair["ci_low"] > 0,
    )
    statuses = run.manifest["analyses"]["embedding"]["images"]["photo"]
    photos = sum(count for status, count in statuses.items() if status != "missing")
    truncated, copies = statuses.get("truncated", 0), run.table("embedding_profile")["exact_duplicates"][0]
    expected = photos // DAMAGED_EVERY, (photos + COPIED_EVERY - 2) // COPIED_EVERY
    damage = Finding(
        f"photo: 1 in {DAMAGED_EVERY} cut short, 1 in {COPIED_EVERY} there twice",
        f"{truncated} truncated and {copies} exact duplicates of {photos}",
        (truncated, copies) == expected,
    )
    return [joint, damage]
