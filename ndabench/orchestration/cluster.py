"""Finding Ray, and knowing what fits: one `connect()` for a laptop, a cluster and a submitted job."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants

from ndabench.errors import UserError
from ndabench.orchestration.mends import mend
from ndabench.resources import Node, Resources, largest_fitting, trials_fitting, why_none_fits

SECONDS_TO_ANSWER = 10
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # records are ours; Tune's own cost 30 ms a trial
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",  # of a stopped trial, before its process serves the next one
    "TUNE_FORCE_TRIAL_CLEANUP_S": "60",  # and a process that does not end by then is killed
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # of all trials, 11 KB each, again and again: a sweep has its records
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.3",  # the default throttles reports to one in 2 s
    "RAY_TRAIN_COLLECTIVE_TIMEOUT_S": "1800",  # a lost worker must not leave the others waiting for ever
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(
        7 * 24 * 3600
    ),  # workers wait for room, and keep their place
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process a trial; the sweep restarts what was lost anyway
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_maximum_startup_concurrency": "64",  # several small processes a CPU are meant: no warning
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU sees none
}


@contextlib.contextmanager
def connect(address: str | None) -> Iterator[bool]:
    """Ray for the duration, and whether it is this machine's own.

    It is what is initialised already, else the cluster at `address`, else that at $RAY_ADDRESS, else a Ray of
    our own that listens on loopback only and is gone afterwards. Raises `UserError` where no cluster answers,
    or where Ray does not start.
    """
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    settings = {key: value for key, value in os.environ.items() if key.startswith("NDABENCH_") and value}
    for key, value in settings.items():  # all of them paths, and Ray's workers have other working folders
        settings[key] = os.environ[key] = str(Path(value).expanduser().absolute())
    if ray.is_initialized():
        yield False
        return
    mend()
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    local = address == "local"
    try:
        if local:
            _start_here()
        else:
            _join(address, settings)
        for name in ("ray", "ray.train", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what ends a trial stands in its line
        yield local
    finally:
        ray.shutdown()
        ray_constants.ENABLE_RAY_CLUSTER = True


def _start_here() -> None:
    os.environ.setdefault("RAY_task_events_report_interval_ms", "0")  # for a dashboard: there is none
    # Without this Ray takes 127.0.0.1 for this machine's address in its network, and listens everywhere.
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            dashboard_host="127.0.0.1",
            _node_ip_address="127.0.0.1",
            object_store_memory=200 * 2**20,  # nothing large passes through it
            **QUIET,
        )
    except Exception as error:  # of no kind of its own: on a busy machine, say, its processes came too late
        raise UserError(f"Ray does not start on this machine ({_first_line(error)})") from error


def _join(address: str, settings: Mapping[str, str]) -> None:
    try:
        _knock(address)
        ray.init(address=address, runtime_env={"env_vars": {**ENVIRONMENT, **settings}}, **QUIET)
    except (OSError, RuntimeError, ValueError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster answers at {address} ({_first_line(error)}); start one with "
            "`ray start --head`, or leave --address and RAY_ADDRESS unset to run on this machine"
        ) from None


def nodes() -> list[Node]:
    """What each node of the cluster has, free or not, as far as the node is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def concurrency(resources: Resources) -> int:
    """How many trials may run at once without ever starving one another; `UserError` where none can."""
    if resources.autoscaling:
        assert resources.max_concurrent is not None
        return resources.max_concurrent
    alive = nodes()
    fitting = largest_fitting(alive, resources)
    if fitting is None:
        raise UserError(
            f"resources: a trial asks for {resources}, which this Ray can never give: "
            f"{why_none_fits(alive, resources.sizes[-1])}"
        )
    trials = trials_fitting(alive, fitting)
    return min(trials, resources.max_concurrent or trials)


def _knock(address: str) -> None:
    """`OSError` where nothing listens at `host:port` or `ray://host:port`; Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():  # anything else, such as `auto`, is for Ray to understand
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
