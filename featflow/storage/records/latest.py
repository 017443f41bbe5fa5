"""``LATEST``: the name of the run that readers see."""

from __future__ import annotations

from featflow.errors import DamagedError
from featflow.storage.run_ids import RUN_ID
from featflow.storage.store import Store

__all__ = ["PATH", "read_latest"]

PATH = "LATEST"
"""Its path below the output."""
MOST_BYTES = 4096


def read_latest(store: Store) -> str | None:
    """Return the id of the run that LATEST names, None if there is no LATEST.

    Raises
    ------
    DamagedError
        Its bytes are no run's id.
    """

    def checked(data: bytes) -> str:
        run_id = data.decode(errors="replace").strip()
        if not RUN_ID.fullmatch(run_id):
            raise DamagedError(
                f"{store.uri(PATH)}: damaged: it names no run; write the id of a finished run into it, "
                f"which 'featflow runs {store.root}' lists, or remove it"
            )
        return run_id

    try:
        return store.read_checked(PATH, checked, MOST_BYTES)
    except FileNotFoundError:
        return None
