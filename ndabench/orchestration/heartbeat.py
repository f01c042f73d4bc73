"""Heartbeats: the driver kills a process that hangs, and Tune then treats its trial as lost.

Ray takes a process that is stopped or swapped out for alive, because its connections stay open. So a thread
of each process counts upward in the cluster's key-value store, every few seconds. Heartbeats show that a
process runs; a training that hangs inside a live process goes unnoticed here. Ray Train watches the workers
of a nested trial itself.
"""

import contextlib
import threading
import time
from collections.abc import Collection
from typing import Any

import ray
import ray.tune
from ray.tune.experiment import Trial

from ndabench.orchestration.failure_reasons import killed_after
from ndabench.orchestration.ray_private import (
    ControllerCallback,
    _internal_kv_del,
    _internal_kv_put,
    internal_kv_get_gcs_client,
)
from ndabench.planning.heartbeat_timeouts import HeartbeatTimeouts, interval

NAMESPACE = "ndabench"


class Heartbeat:
    """Sends the heartbeats of this process from `start` to `stop`, or while a `with` block lasts.

    `timeout` is the seconds for which the process may be silent, `part` names it among those of its trial.
    """

    def __init__(self, tune_id: str, timeout: float, part: str = "main") -> None:
        self._key, self._interval = f"{_prefix()}{tune_id}/{part}", interval(timeout)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="ndabench-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    def __enter__(self) -> "Heartbeat":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _beat(self) -> None:
        count = 0
        while not self._over.is_set():
            count += 1
            with contextlib.suppress(Exception):  # the head is away: the head's watchdog deals with that
                _internal_kv_put(self._key, str(count), namespace=NAMESPACE)
            self._over.wait(self._interval)
        with contextlib.suppress(Exception):
            _internal_kv_del(self._key, namespace=NAMESPACE)


class ControllerHeartbeat(ControllerCallback):
    """Sends the heartbeats of the process in which Ray Train manages the workers of a nested trial."""

    def __init__(self, tune_id: str, timeout: float) -> None:
        self._tune_id, self._timeout = tune_id, timeout
        self._heartbeat: Heartbeat | None = None

    def after_controller_start(self, train_run_context: Any) -> None:
        self._heartbeat = Heartbeat(self._tune_id, self._timeout, "controller")
        self._heartbeat.start()

    async def before_controller_shutdown(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()


class HeartbeatMonitor(ray.tune.Callback):
    """Kills the processes of running trials that send no heartbeat, and notes why in `reasons`."""

    def __init__(self, timeout: float, reasons: dict[str, str]) -> None:
        self._timeout, self._reasons, self._timeouts = timeout, reasons, HeartbeatTimeouts(timeout)
        self._next_look = 0.0

    def __reduce__(self) -> Any:  # Tune pickles its callbacks to restore a sweep; ours resumes from records
        return ray.tune.Callback, ()

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + interval(self._timeout)
        running = {trial.trial_id: trial for trial in trials if trial.status == Trial.RUNNING}
        with contextlib.suppress(Exception):  # the head is away, and the heartbeats with it
            for name in self._timeouts.update(_heartbeats(running)):
                self._kill(running[name.partition("/")[0]])

    def _kill(self, trial: Any) -> None:
        self._reasons[trial.trial_id] = f"its process {killed_after(self._timeout)}"
        if (actor := trial.temporary_state.ray_actor) is not None:
            ray.kill(actor)


def forget_heartbeats() -> None:
    """Removes all heartbeats of this driver's trials from the cluster."""
    with contextlib.suppress(Exception):
        _internal_kv_del(_prefix(), del_by_prefix=True, namespace=NAMESPACE)


def _heartbeats(running: Collection[str]) -> dict[str, object]:
    """The newest heartbeat of each process of the running trials.

    None where a trial's main process has sent none yet.
    """
    prefix = _prefix()
    client, namespace = internal_kv_get_gcs_client(), NAMESPACE.encode()
    keys = client.internal_kv_keys(prefix.encode(), namespace)
    names = {key: key.decode().removeprefix(prefix) for key in keys}
    mine = [key for key, name in names.items() if name.partition("/")[0] in running]
    found = client.internal_kv_multi_get(mine, namespace) if mine else {}
    heartbeats: dict[str, object] = {f"{tune_id}/main": None for tune_id in running}
    return heartbeats | {names[key]: value for key, value in found.items()}


def _prefix() -> str:
    return f"{ray.get_runtime_context().get_job_id()}/"
