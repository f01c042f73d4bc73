"""Tune handles every error of Ray's that tells of a lost process, and any other error is raised."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import OutOfMemoryError, RayActorError

from ndabench.orchestration.failure_reasons import process_fate
from ndabench.orchestration.ray_patches import patch_ray
from ndabench.orchestration.ray_private import DataParallelTrainer, DatasetsCallback, RayActorManager
from ndabench.orchestration.trainable import NestedTrainer

LOW = "1 worker(s) were killed due to the node running low on memory."


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Exception], Any, Any]:
    """What a trial's sweep hears of an error, with the manager and the task that it comes by."""
    monkeypatch.setattr(RayActorManager, "_actor_task_failed", RayActorManager._actor_task_failed)
    patch_ray()
    resources: Any = SimpleNamespace()
    manager, errors = RayActorManager(resources), list[Exception]()
    monkeypatch.setattr(manager, "_cleanup_actor", lambda tracked_actor: None)
    actor = SimpleNamespace(actor_id=1, _on_error=lambda _, error: errors.append(error))
    return errors, manager, SimpleNamespace(_tracked_actor=actor, _on_error=None)


@pytest.mark.parametrize(
    "error", [OutOfMemoryError(LOW), RayActorError(error_msg=LOW)], ids=["memory", "usual"]
)
def test_every_way_to_lose_a_process(error: Exception, heard: tuple[list[Exception], Any, Any]) -> None:
    errors, manager, task = heard
    manager._actor_task_failed(task, error)
    (told,) = errors
    assert isinstance(told, RayActorError)
    assert process_fate(str(told)) == "was ended by Ray, because its node ran out of memory"


def test_what_is_not_rays_is_not_hidden(heard: tuple[list[Exception], Any, Any]) -> None:
    _, manager, task = heard
    with pytest.raises(RuntimeError, match="unexpected"):
        manager._actor_task_failed(task, ValueError("of ours"))


@pytest.mark.slow
def test_a_driver_that_is_killed_once_ray_has_connected_ends_with_its_line() -> None:
    """Without the patch, Ray's C++ handler prints a stack and aborts until `keep_handlers` replaces it."""
    code = """
import os, signal, sys, time
from ndabench.interruption import EXIT_CODE, interruptible
from ndabench.orchestration.cluster import connect
from ray._private import worker as ray_worker

def connect_and_die(*arguments, **options):
    connect_driver(*arguments, **options)
    print("connected", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

connect_driver, ray_worker.connect = ray_worker.connect, connect_and_die
with interruptible():
    try:
        with connect(None):
            print("never")
    except KeyboardInterrupt:
        print("interrupted")
        sys.exit(EXIT_CODE)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "connected\ninterrupted\n", "")


def test_only_what_serves_ray_data_is_left_out_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    needless = DatasetsCallback.__new__(DatasetsCallback)
    monkeypatch.setattr(
        DataParallelTrainer, "_create_default_callbacks", lambda self: ["one", needless, "another"]
    )
    assert NestedTrainer.__new__(NestedTrainer)._create_default_callbacks() == ["one", "another"]
