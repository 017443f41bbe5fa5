"""What becomes of hostile files, each tried twice in this process: ``python -m faults.outcomes KIND PATH...``.

A line of JSON for each path: what came of it, whether the second try gave the same, its seconds, and the memory at its
peak beyond what the process held before. A try that takes a minute ends the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TESTS = Path(__file__).parents[1]
LONGEST_SECONDS = 60
ADDRESS_SPACE = 16 * 2**30


def outcomes(kind: str, paths: Sequence[Path], folder: Path) -> list[tuple[str, int]]:
    """Return what came of each path and its memory, from a process of its own in a folder; none of them may end it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    command = [sys.executable, "-m", "faults.outcomes", kind, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{paths[len(found)]}: {done.returncode}: {done.stderr[-2_000:]}"
    assert all(same for _, _, same, _, _ in found), [each for each in found if not each[2]]
    slowest, largest = max(found, key=lambda each: each[3]), max(found, key=lambda each: each[4])
    sys.stdout.write(
        f"{len(found)}; slowest {slowest[0]}: {slowest[3]} s; largest {largest[0]}: {largest[4] / 2**20:.0f} MiB\n"
    )
    return [(outcome, peak) for _, outcome, _, _, peak in found]


def of_picture(path: str) -> str:
    """Return the status of a picture, and the digest of its pixels."""
    from featflow.transforms.images.pictures import decode

    most = int(Path(path).name.partition(" ")[0])
    picture = decode(Path(path).read_bytes(), most)
    pixels = hashlib.sha256(picture.image.tobytes()).hexdigest()[:8] if picture.image else picture.error
    return f"{picture.status.value}: {pixels}"


def of_model(path: str) -> str:
    """Return the vector that a model gives a picture of noise, or why it is refused."""
    import numpy as np
    from transforms.images.models import spec_of

    from featflow.errors import ConfigurationError

    try:
        spec = spec_of(path)
        noise = np.random.default_rng(1).integers(0, 256, (40, 30, 3)).astype(np.uint8)
        vector = spec.make().encode([noise], np.array([[30, 40]]))
    except ConfigurationError as error:
        return f"refused: {str(error).replace(path, 'MODEL')}"
    return f"ok: {hashlib.sha256(vector.tobytes()).hexdigest()[:8]}"


def peak_of(call: Callable[[], str]) -> tuple[str, int]:
    """Return a call's value, and the bytes of memory at its peak beyond those before."""
    Path("/proc/self/clear_refs").write_text("5")
    before = held("VmRSS")
    value = call()
    return value, held("VmHWM") - before


def held(which: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition(f"{which}:")[2].split()[0])


def main(kind: str, *paths: str) -> None:
    call = {"picture": of_picture, "model": of_model}[kind]
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    call(paths[0])  # imports
    for path in paths:
        signal.alarm(LONGEST_SECONDS)
        begun = time.perf_counter()
        outcome, peak = peak_of(lambda path=path: call(path))
        seconds = time.perf_counter() - begun
        again = call(path)
        line = json.dumps([Path(path).name, outcome, again == outcome, round(seconds, 3), peak])
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
