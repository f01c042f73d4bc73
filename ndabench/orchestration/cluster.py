"""Connecting to Ray: one `connect()` for a laptop, a cluster and a submitted job."""

import contextlib
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RuntimeEnvSetupError

from ndabench.errors import UserError
from ndabench.interruption import keep_handlers
from ndabench.machine import usable_cpus
from ndabench.orchestration.environment import absolute_settings, put_on_path, ray_starts_here
from ndabench.orchestration.ray_patches import patch_ray
from ndabench.orchestration.ray_private import ray_constants
from ndabench.planning.resources import Node
from ndabench.plugins import local_plugins
from ndabench.scratch import PREFIX, require_short_path, scratch_folder

SECONDS_TO_ANSWER = 10
RAY_FOLDER = "r"
"""In the temporary folder of the sweep: Ray opens its own folder to all users."""
LONGEST_SOCKET = (
    f"{PREFIX}abcdefgh/{RAY_FOLDER}/session_2026-01-01_00-00-00_000000_{2**22}/sockets/plasma_store"
)
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # ndabench keeps its own records; Tune's cost 30 ms per trial
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",  # for a stopped trial to end, before its process serves the next
    "TUNE_FORCE_TRIAL_CLEANUP_S": "60",  # a process that does not end by then is killed
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # Tune would save all trials, 11 KB each, again and again
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.3",  # by default a trial reports every 2 s
    "RAY_TRAIN_COLLECTIVE_TIMEOUT_S": "1800",  # the others must not wait for ever for a lost worker
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(7 * 24 * 3600),  # workers wait as long as it takes
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # one process per trial; lost trials restart anyway
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_maximum_startup_concurrency": "64",  # no warning about several processes per CPU
    # Else Ray lets a driver wait until its first workers have started, without end if they die.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU sees none
}


@contextlib.contextmanager
def connect(address: str | None, plugins: Sequence[str] = ()) -> Iterator[bool]:
    """Connects to Ray for the duration of the block; yields whether this call started Ray on this machine.

    Ray's processes can import the modules in `plugins`: those that are not installed are sent to a cluster.

    It takes the connection that exists, else the cluster at `address`, else the one at $RAY_ADDRESS. Else it
    starts a Ray that listens on loopback only, in a temporary folder that only this user may enter, and
    afterwards stops it and deletes the folder. Raises `UserError` where no cluster answers, or where Ray does
    not start.
    """
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    settings = absolute_settings()
    if ray.is_initialized():
        yield False
        return
    patch_ray()
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    local = ray_starts_here(address)
    with scratch_folder(parent_of_sockets()) if local else contextlib.nullcontext() as folder:
        try:
            if folder is not None:
                put_on_path(plugins)
                _start_here(folder / RAY_FOLDER)
            else:
                _join(address, settings, local_plugins(plugins))
            keep_handlers()  # Ray has put its own in their place, and they end the process without a line
            for name in ("ray", "ray.train", "ray.data"):
                logging.getLogger(name).setLevel(logging.ERROR)
            logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the trial's own line says why it ended
            yield local
        finally:
            ray.shutdown()
            ray_constants.ENABLE_RAY_CLUSTER = True


def parent_of_sockets() -> Path:
    """The folder below which Ray will make its Unix sockets; `UserError` where its path is too long for them.

    `RAY_TMPDIR`, else `TMPDIR`, else /tmp, as for Ray itself.
    """
    fallback = tempfile.gettempdir() if sys.platform == "linux" else "/tmp"  # a Mac's is too long
    parent = Path(os.environ.get("RAY_TMPDIR") or fallback).absolute()
    variable = "RAY_TMPDIR" if os.environ.get("RAY_TMPDIR") else "TMPDIR"
    require_short_path(parent, LONGEST_SOCKET, variable, "set RAY_TMPDIR to a shorter one, such as /tmp")
    return parent


def _start_here(folder: Path) -> None:
    os.environ.setdefault("RAY_task_events_report_interval_ms", "0")  # only a dashboard needs them
    # Without this Ray takes 127.0.0.1 for this machine's address in its network, and listens everywhere.
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        ray.init(
            address="local",
            num_cpus=usable_cpus(),
            _temp_dir=str(folder),
            include_dashboard=False,
            dashboard_host="127.0.0.1",
            _node_ip_address="127.0.0.1",
            object_store_memory=200 * 2**20,  # nothing large passes through it
            **QUIET,
        )
    except Exception as error:  # of any type: on a busy machine, for example, Ray's processes start too late
        raise UserError(f"Ray does not start on this machine ({_first_line(error)})") from error


def runtime_env(settings: Mapping[str, str], places: Sequence[Path]) -> dict[str, Any]:
    """What Ray gives to the processes of a cluster: environment variables, and the modules in `places`.

    What a submitted job brought along is there already.
    """
    sent = [str(place) for place in places if "runtime_resources" not in place.parts]
    return {"env_vars": {**ENVIRONMENT, **settings}, **({"py_modules": sent} if sent else {})}


def _join(address: str, settings: Mapping[str, str], places: Sequence[Path]) -> None:
    try:
        _probe(address)
        ray.init(address=address, runtime_env=runtime_env(settings, places), **QUIET)
    except RuntimeEnvSetupError as error:
        raise UserError(f"plugins: cannot be sent to the cluster ({_first_line(error)})") from None
    except (OSError, RuntimeError, ValueError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster answers at {address} ({_first_line(error)}); start one with "
            "`ray start --head`, or leave --address and RAY_ADDRESS unset to run on this machine"
        ) from None


def live_nodes() -> list[Node]:
    """What each live node of the cluster has, free or not."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _probe(address: str) -> None:
    """Raises `OSError` where nothing listens at `[ray://]host:port`; Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():  # Ray interprets anything else, such as `auto`
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
