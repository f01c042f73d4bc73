"""Processes that hang: each gives a sign of life every few seconds, and the driver notes when one stops.

A stopped process, or one that is swapped to death, keeps its connections, so that Ray takes it for alive. The
signs are counts in the cluster's own key-value store, put there by a thread: a process that holds Python's
lock for tens of seconds, as some decoders do, is late and not dead, and what hangs in the training itself
while its process lives is not noticed here. The workers of a nested trial are watched by Ray Train.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import ray
import ray.tune
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_put, internal_kv_get_gcs_client
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.tune.experiment import Trial

from ndabench.orchestration.why_lost import silent

NAMESPACE = "ndabench"
SIGNS_IN_LIMIT = 8
LONGEST_INTERVAL = 5.0


def interval(limit: float) -> float:
    """Seconds between two signs, where a process may be silent for `limit`."""
    return min(LONGEST_INTERVAL, limit / SIGNS_IN_LIMIT)


class Pulse:
    """A process's signs of life, from `start` to `stop`, or for as long as a `with` block lasts."""

    def __init__(self, tune_id: str, limit: float, part: str = "main") -> None:
        self._key, self._interval = f"{_prefix()}{tune_id}/{part}", interval(limit)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="ndabench-pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    def __enter__(self) -> "Pulse":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _beat(self) -> None:
        count = 0
        while not self._over.is_set():
            count += 1
            with contextlib.suppress(Exception):  # the head is away: its absence is noticed by others
                _internal_kv_put(self._key, str(count), namespace=NAMESPACE)
            self._over.wait(self._interval)
        with contextlib.suppress(Exception):
            _internal_kv_del(self._key, namespace=NAMESPACE)


class ControllersPulse(ControllerCallback):
    """Of the process in which Ray Train looks after the workers of a nested trial."""

    def __init__(self, tune_id: str, limit: float) -> None:
        self._tune_id, self._limit = tune_id, limit
        self._pulse: Pulse | None = None

    def after_controller_start(self, train_run_context: Any) -> None:
        self._pulse = Pulse(self._tune_id, self._limit, "controller")
        self._pulse.start()

    async def before_controller_shutdown(self) -> None:
        if self._pulse is not None:
            self._pulse.stop()


class Silences:
    """For how long nothing new was heard of each process; knows no Ray.

    Only time in which it was looked counts: after its own driver has slept, everybody gets another chance.
    """

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._looked = clock()
        self._heard: dict[str, tuple[object, float]] = {}

    def look(self, signs: Mapping[str, object]) -> list[str]:
        """Takes note of the newest sign of each process; returns those that were silent for too long."""
        now = self._clock()
        passed, self._looked = min(now - self._looked, 2 * interval(self._limit)), now
        heard = {}
        for name, sign in signs.items():
            last, silence = self._heard.get(name, (None, 0.0))
            known = name in self._heard and last == sign
            heard[name] = sign, silence + passed if known else 0.0
        self._heard = heard
        return [name for name, (_, silence) in heard.items() if silence > self._limit]


class Warden(ray.tune.Callback):
    """Kills the processes of running trials that give no sign of life: Tune then takes them for lost."""

    def __init__(self, limit: float, reasons: dict[str, str]) -> None:
        self._limit, self._reasons, self._silences = limit, reasons, Silences(limit)
        self._next_look = 0.0

    def __reduce__(self) -> Any:  # Tune pickles its callbacks, to restore a sweep from them; we never do
        return ray.tune.Callback, ()

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + interval(self._limit)
        running = {trial.trial_id: trial for trial in trials if trial.status == Trial.RUNNING}
        with contextlib.suppress(Exception):  # the head is away, and the signs with it
            for name in self._silences.look(_signs(running)):
                self._end(running[name.partition("/")[0]])

    def _end(self, trial: Any) -> None:
        self._reasons[trial.trial_id] = f"its process {silent(self._limit)}"
        if (actor := trial.temporary_state.ray_actor) is not None:
            ray.kill(actor)


def forget() -> None:
    """Removes all signs of this driver's trials from the cluster."""
    with contextlib.suppress(Exception):
        _internal_kv_del(_prefix(), del_by_prefix=True, namespace=NAMESPACE)


def _signs(running: Collection[str]) -> dict[str, object]:
    """The newest sign of each process of the running trials; None where a trial's main one gave none yet."""
    prefix = _prefix()
    client, namespace = internal_kv_get_gcs_client(), NAMESPACE.encode()
    keys = client.internal_kv_keys(prefix.encode(), namespace)
    names = {key: key.decode().removeprefix(prefix) for key in keys}
    mine = [key for key, name in names.items() if name.partition("/")[0] in running]
    found = client.internal_kv_multi_get(mine, namespace) if mine else {}
    signs: dict[str, object] = {f"{tune_id}/main": None for tune_id in running}
    return signs | {names[key]: value for key, value in found.items()}


def _prefix() -> str:
    return f"{ray.get_runtime_context().get_job_id()}/"
