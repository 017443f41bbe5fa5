"""The result of `featflow gc` on the terminal."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table

from featflow.cli.plan_view import shown_size
from featflow.cli.printing import labelled

if TYPE_CHECKING:
    from featflow.pipeline.garbage import Garbage

__all__ = ["shown_garbage"]


def shown_garbage(garbage: Garbage) -> Group:
    """Return removable or removed files by run, and by folder of states of one spec; and notes."""
    folders: dict[str, list[int]] = defaultdict(list)
    for path, nbytes in garbage.files.items():
        parts = path.split("/")
        folders["/".join(parts[: 2 if parts[0] == "runs" else 3])].append(nbytes)
    total = f"{len(garbage.files):,} files, {shown_size(sum(garbage.files.values()))}"
    title = f"{total} removed" if garbage.removed else f"{total} that nothing kept rests on; --delete removes them"
    table = Table(title=title, title_justify="left")
    for name in ("path", "files", "size"):
        table.add_column(name, justify="left" if name == "path" else "right", overflow="fold")
    for folder, sizes in sorted(folders.items(), key=lambda item: -sum(item[1])):
        table.add_row(folder, f"{len(sizes):,}", shown_size(sum(sizes)))
    kept = f"kept: {', '.join(garbage.kept) or 'no run'}"
    notes = (labelled("note:", "yellow", note) for note in garbage.notes)
    return Group(table if folders else title, kept, *notes)
