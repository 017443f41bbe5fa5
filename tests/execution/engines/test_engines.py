"""The same expectations of both engines."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from featflow.errors import InfrastructureError, SchemaError
from featflow.execution.engines.base import Resources
from featflow.execution.engines.serial import SerialEngine
from featflow.storage import retries


@pytest.fixture
def engine(engine_kind):
    if engine_kind == "serial":
        yield SerialEngine()
    else:
        from featflow.execution.engines.ray import RayEngine

        made = RayEngine(None, 2)
        yield made
        made.close()


def add(shared, item):
    return shared + item


def refuse(shared, item):
    if item == shared:
        raise SchemaError(f"column '{item}' is refused")
    return item


def crash(shared, item):
    if item == 2 and not Path(shared).exists():
        Path(shared).touch()
        os._exit(1)
    return item


def always_crash(shared, item):
    os._exit(1)


def hungry(shared, item):
    return np.zeros(2**56 if item > shared else item).size


def hungry_resident(shared, item, attempt):
    return hungry(shared, item), attempt


def flaky(shared, item):
    """Meet one passing failure of storage."""
    from featflow.storage import retries

    failures = iter([TimeoutError()])

    def operation():
        for error in failures:
            raise error
        return item

    return retries.with_retries(operation)


def halved(item):
    return item // 2


def add_resident(shared, item, attempt):
    return shared + item


def process(shared, item, attempt):
    time.sleep(0.02 * (item % 3))
    return os.getpid(), attempt


def refuse_resident(shared, item, attempt):
    return refuse(shared, item)


def crash_twice(shared, item, attempt):
    if item in shared and attempt < 2:
        os._exit(1)
    return item, attempt


def always_crash_resident(shared, item, attempt):
    os._exit(1)


def exhausted(shared, item, *attempt):
    return np.zeros(2**62, np.uint8)


def test_want_of_memory_is_infrastructure_and_no_defect():
    """NumPy's error, which is one of Python's; Ray gives such an item once more, and ends with the same code."""
    engine = SerialEngine()
    for mapped in (engine.map, engine.map_actors):
        with pytest.raises(InfrastructureError, match=r"ran out of memory; lower budget\.memory.*: Unable to allocate"):
            list(mapped(exhausted, None, [1], Resources()))


def test_results_come_in_the_order_of_items(engine):
    assert list(engine.map(add, 100, range(50), Resources())) == [100 + i for i in range(50)]


def test_no_items_no_results(engine):
    assert list(engine.map(add, 0, [], Resources())) == []


def test_items_are_taken_only_as_results_are(engine):
    taken = []

    def items():
        for i in range(1_000):
            taken.append(i)
            yield i

    results = engine.map(add, 0, items(), Resources())
    assert next(results) == 0
    assert len(taken) <= 8
    results.close()


def test_our_errors_arrive_as_they_are(engine):
    with pytest.raises(SchemaError, match=r"^column .3. is refused$"):
        list(engine.map(refuse, 3, range(10), Resources()))


def test_other_errors_are_not_swallowed(engine):
    with pytest.raises(TypeError):
        list(engine.map(add, "text", [1], Resources()))


def test_a_worker_that_dies_is_replaced(local_ray, tmp_path):
    from featflow.execution.engines.ray import RayEngine

    retries.reset()
    assert list(RayEngine(None, 2).map(crash, str(tmp_path / "crashed"), range(5), Resources())) == [0, 1, 2, 3, 4]
    assert retries.counts()["tasks"] >= 1
    assert (tmp_path / "crashed").exists()


def test_an_item_that_takes_too_much_memory_is_given_once_more_and_lighter(local_ray):
    from featflow.execution.engines.ray import RayEngine

    retries.reset()
    engine, resources = RayEngine(None, 2), Resources(lighter=halved)
    assert list(engine.map(hungry, 10, [1, 20, 3], resources)) == [1, 10, 3]
    assert list(engine.map_actors(hungry_resident, 10, [1, 20, 3], resources)) == [(1, 0), (10, 1), (3, 0)]
    assert retries.counts() == {"storage": 0, "tasks": 2}
    for lighter in (halved, None):
        with pytest.raises(InfrastructureError, match="killed for memory, and again"):
            list(engine.map(hungry, 10, [40], Resources(lighter=lighter)))


def test_retries_of_tasks_are_those_of_the_run(engine):
    retries.reset()
    assert list(engine.map(flaky, None, range(3), Resources())) == [0, 1, 2]
    assert retries.counts() == {"storage": 3, "tasks": 0}


def test_a_task_that_always_dies_is_given_up(local_ray):
    from featflow.execution.engines.ray import RayEngine

    with pytest.raises(InfrastructureError, match="retry"):
        list(RayEngine(None, 2).map(always_crash, None, [1], Resources()))


def test_more_memory_than_there_is_does_not_hang(local_ray):
    from featflow.execution.engines.ray import RayEngine

    assert list(RayEngine(None, 2).map(add, 1, [1], Resources(memory=2**50))) == [2]


def test_residents_are_no_more_than_memory_holds(local_ray):
    """Two that each take two thirds: the second would never be started, and its items would wait for ever."""
    import ray

    from featflow.execution.engines.ray import RayEngine

    resources = Resources(memory=int(ray.cluster_resources()["memory"]) * 2 // 3)
    assert list(RayEngine(None, 2).map_actors(add_resident, 1, [1, 2, 3], resources)) == [2, 3, 4]


def test_residents_give_results_in_the_order_of_items(engine):
    assert list(engine.map_actors(add_resident, 100, range(50), Resources())) == [100 + i for i in range(50)]
    assert list(engine.map_actors(add_resident, 100, [], Resources())) == []


def test_residents_take_items_only_as_results_are_taken(engine):
    taken = []

    def items():
        for i in range(1_000):
            taken.append(i)
            yield i

    results = engine.map_actors(add_resident, 0, items(), Resources(gpus=None))
    assert next(results) == 0
    assert len(taken) <= 8
    results.close()


def test_residents_stay(engine):
    found = list(engine.map_actors(process, None, range(20), Resources()))
    assert len({pid for pid, _ in found}) <= 2
    assert {attempt for _, attempt in found} == {0}


def test_errors_of_residents_arrive_as_they_are(engine):
    with pytest.raises(SchemaError, match=r"^column .3. is refused$"):
        list(engine.map_actors(refuse_resident, 3, range(10), Resources()))
    with pytest.raises(TypeError):
        list(engine.map_actors(add_resident, "text", [1], Resources()))


def test_a_resident_that_dies_is_replaced_and_its_item_given_again(local_ray):
    from featflow.execution.engines.ray import RayEngine

    found = list(RayEngine(None, 2).map_actors(crash_twice, {2, 5, 6}, range(9), Resources()))
    assert found == [(i, 2 if i in {2, 5, 6} else 0) for i in range(9)]


def test_an_item_that_always_kills_is_given_up(local_ray):
    from featflow.execution.engines.ray import RayEngine

    with pytest.raises(InfrastructureError, match="retry"):
        list(RayEngine(None, 2).map_actors(always_crash_resident, None, [1], Resources()))


def test_no_cluster_is_an_infrastructure_error():
    code = (
        "from featflow.execution.engines.ray import RayEngine\n"
        "from featflow.errors import InfrastructureError\n"
        "try:\n    RayEngine('127.0.0.1:1', 1)\n"
        "except InfrastructureError as error:\n    print('refused:', error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert "refused: engine.address: no Ray at 127.0.0.1:1" in done.stdout, done.stderr


def test_ray_is_imported_only_where_it_is_used():
    code = "import sys, featflow, featflow.cli.main; print('ray' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_a_cluster_that_grows_is_given_more(local_ray, monkeypatch):
    from featflow.execution.engines import ray as engines

    engine = engines.RayEngine(None, 3)
    assert engine._window() == 6
    monkeypatch.setattr(engines.ray, "cluster_resources", lambda: {"CPU": 8.0})
    assert engine._window() == 6  # looked at a moment ago
    monkeypatch.setattr(engines, "LOOK_SECONDS", 0.0)
    assert engine._window() == 24
    monkeypatch.setattr(engines.ray, "cluster_resources", dict)
    assert engine._window() == 2  # something must wait, or nothing comes
    assert list(engine.map(add, 1, [], Resources())) == []
    assert engine.load.in_flight == 0
