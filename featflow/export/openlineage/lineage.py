"""A run tells of its start, and of its end or failure: to a file, and to a server where one is configured.

Told by a thread, so that a run waits for no server; what cannot be delivered is a warning, and the run goes on. Events
for a server go through the transport of OpenLineage's own client. Not through the client itself: that adds the address
of the repository of whatever directory it is called in, which may hold a token.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from featflow.config import Config, parse
from featflow.errors import first_line
from featflow.execution.options import LineageOptions
from featflow.export.openlineage import events
from featflow.storage.redaction import redacted, redacted_values
from featflow.storage.run import Run
from featflow.storage.store import Store

__all__ = ["FILE", "Lineage", "export_openlineage", "told"]

FILE = "openlineage.jsonl"
GRACE_SECONDS = 10.0
"""How long, beyond its server's timeouts, the end of a run waits for its events to be written."""
RETRY = {"total": 1, "backoff_factor": 0.2, "status_forcelist": [502, 503, 504], "allowed_methods": ["POST"]}
LOG = logging.getLogger("featflow.lineage")


class Lineage:
    """Tells of one run."""

    def __init__(self, config: Config, options: LineageOptions, store: Store, run_id: str) -> None:
        self.warnings: list[str] = []
        """What could not be delivered."""
        self._config, self._options, self._run_id = config, options, run_id
        self._store = Store(options.folder, store.options) if options.folder else store
        self._path = f"{run_id}.jsonl" if options.folder else f"runs/{run_id}/{FILE}"
        self._lines = list[str]()
        self._events: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._tell, name="featflow-lineage", daemon=True)

    def start(self, at: datetime) -> None:
        """Tell that the run has begun."""
        self._thread.start()
        self._events.put(lambda: events.start_event(self._config, self._run_id, at))

    def complete(self, run: Run) -> None:
        """Tell that the run is done."""
        self._events.put(lambda: events.complete_event(run))
        self._finish()

    def fail(self, error: BaseException) -> None:
        """Tell that the run failed, or was stopped."""
        message = redacted(str(error) or type(error).__name__, self._config.dataset.secrets)
        stopped = not isinstance(error, Exception)
        self._events.put(lambda: events.fail_event(self._config, self._run_id, message, stopped=stopped))
        self._finish()

    def _finish(self) -> None:
        self._events.put(None)
        self._thread.join(4 * self._options.timeout + GRACE_SECONDS)
        if self._thread.is_alive():
            self._warn("not all of it was told in time")

    def _tell(self) -> None:
        for make in iter(self._events.get, None):
            try:
                event = redacted_values(make(), lambda text: redacted(text, {}))  # an address may be signed
                self._lines.append(_as_line(event))
                self._store.write(self._path, "".join(self._lines).encode())
            except Exception as error:  # noqa: BLE001  a run does not fail for what is told of it
                self._warn(f"{self._store.uri(self._path)}: not written: {first_line(error)}")
                continue
            try:
                self._post(event)
            except Exception as error:  # noqa: BLE001  as above
                self._warn(f"{event['eventType']} was not delivered to its server: {first_line(error)}")

    def _post(self, event: events.Event) -> None:
        url = self._options.url or os.environ.get("OPENLINEAGE_URL")
        if not url:
            return
        from openlineage.client.transport.http import (  # noqa: PLC0415  half a second, for those who have a server
            ApiKeyTokenProvider,
            HttpConfig,
            HttpTransport,
            TokenProvider,
        )

        key = os.environ.get("OPENLINEAGE_API_KEY")
        auth = ApiKeyTokenProvider({"api_key": key}) if key else TokenProvider({})
        options = self._options
        config = HttpConfig(url, endpoint=options.endpoint, timeout=options.timeout, auth=auth, retry=RETRY)
        transport = HttpTransport(config)
        try:
            transport.emit(event)
        finally:
            transport.close()

    def _warn(self, said: str) -> None:
        self.warnings.append("lineage: " + redacted(said, self._config.dataset.secrets))
        LOG.warning("%s", self.warnings[-1])


@contextmanager
def told(config: Config, store: Store, run_id: str, began: datetime) -> Iterator[Lineage | None]:
    """Tell of a run's start, and of its failure if the block fails; None where the configuration wants no lineage."""
    if config.lineage is None:
        yield None
        return
    lineage = Lineage(config, config.lineage, store, run_id)
    lineage.start(began)
    try:
        yield lineage
    except BaseException as error:
        lineage.fail(error)
        raise


def export_openlineage(run: Run, to: str | None = None) -> str:
    """Write the events of a finished run, a JSON object a line, and return where.

    Parameters
    ----------
    to
        File; by default `FILE` beside the run's tables.
    """
    config, began = parse(run.manifest["config"]), datetime.fromisoformat(run.manifest["started"])
    found = [events.start_event(config, run.run_id, began), events.complete_event(run)]
    folder, name = run.store, f"runs/{run.run_id}/{FILE}"
    if to:
        parent, _, name = to.rpartition("/")
        folder = Store(parent or ("/" if to.startswith("/") else "."), run.store.options)
    return folder.write(name, "".join(map(_as_line, found)).encode())


def _as_line(event: events.Event) -> str:
    return json.dumps(event, sort_keys=True) + "\n"
