"""A plan on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from featflow.config import Config

if TYPE_CHECKING:
    from featflow.pipeline.plan import Plan

__all__ = ["shown_engine", "shown_plan", "shown_size"]

SHOWN_STATES = 4
"""Largest states shown one by one: they decide how much memory a task needs; the others are added up."""


def shown_plan(config: Config, planned: Plan) -> Table:
    """Return the plan of a run as a table."""
    table = Table(show_header=False, title=f"Plan for {', '.join(config.dataset.source)}", title_justify="left")
    kinds = ", ".join(f"{count} {kind}" for kind, count in planned.columns.items())
    unknown = "known once pass 1 has run"
    largest = sorted(planned.state_bytes.items(), key=lambda item: -item[1])
    states = ", ".join(f"{name} {shown_size(size)}" for name, size in largest[:SHOWN_STATES])
    states += f", {len(largest[SHOWN_STATES:])} others {shown_size(sum(size for _, size in largest[SHOWN_STATES:]))}"
    table.add_row(
        "input",
        f"{planned.files:,} file{'s' * (planned.files != 1)}, {shown_size(planned.file_bytes)}, {planned.rows:,} rows",
    )
    table.add_row("columns", f"{kinds}; targets {', '.join(planned.targets) or 'none'}")
    table.add_row("shards", f"{planned.shards:,}, the largest about {shown_size(planned.largest_shard_bytes)} decoded")
    table.add_row(
        "pass 1", f"{planned.profile_shards:,} to compute, {planned.shards - planned.profile_shards:,} reused"
    )
    relation = planned.relation_shards
    table.add_row(
        "pass 2", unknown if relation is None else f"{relation:,} to compute, {planned.shards - relation:,} reused"
    )
    estimates = (f"{name}: {value}" for name, value in planned.estimates.items() if value is not None)
    table.add_row("pairs", "; ".join([f"{planned.pairs:,}", f"times rows {planned.pair_rows:.1e}", *estimates]))
    table.add_row("blocks", ", ".join(f"{name} {count:,}" for name, count in planned.blocks.items()))
    table.add_row("states at most", states)
    table.add_row("engine", f"{shown_engine(planned.engine)}: {planned.engine_reason}")
    table.add_row("memory", f"about {shown_size(planned.memory_bytes)}; budget {shown_size(planned.memory_budget)}")
    for each in planned.passed_over:
        table.add_row("not read", each.removeprefix("passed over "))
    for note in planned.notes:
        table.add_row("note", note)
    return table


def shown_engine(name: str) -> str:
    """Return an engine's name in words.

    Examples
    --------
    >>> shown_engine("serial"), shown_engine("ray")
    ('one process', 'Ray')
    """
    return {"serial": "one process", "ray": "Ray"}[name]


def shown_size(nbytes: int) -> str:
    """Return a number of bytes in a suitable unit.

    Examples
    --------
    >>> shown_size(3 * 2**19), shown_size(100)
    ('1.5 MiB', '0.1 KiB')
    """
    unit, power = next(((u, p) for u, p in (("GiB", 30), ("MiB", 20)) if nbytes >= 2**p), ("KiB", 10))
    return f"{nbytes / 2**power:.1f} {unit}"
