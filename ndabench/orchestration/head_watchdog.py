"""Ends the driver with one line when the head of its cluster, or Ray on its own machine, is gone.

Ray itself ends a driver whose head is gone after a minute, with an unhelpful message, and lets a driver whose
own node is gone wait for ever. After either, `--resume` continues the sweep.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

import ray

from ndabench.orchestration.ray_private import ray_client

SECONDS_BETWEEN_PROBES = 2.0
SECONDS_TO_ANSWER = 5.0
RAY_RECONNECT_TIMEOUT = "RAY_gcs_rpc_server_reconnect_timeout_s"
"""Ray's setting: the seconds after which it ends a process that does not reach the head."""
SHOW_CURSOR = "\x1b[?25h"

Address = tuple[str, int]


@contextlib.contextmanager
def head_watchdog(on_lost: Callable[[str], None]) -> Iterator[None]:
    """While the block lasts: if the cluster is lost, calls `on_lost` with the reason and exits with code 2.

    It exits at once, because a thread that waits for an answer of the cluster cannot be interrupted. Ray must
    be connected.
    """
    timeout = float(os.environ.get(RAY_RECONNECT_TIMEOUT) or 60) / 2
    addresses, over = _watched_addresses(), threading.Event()

    def watch() -> None:
        lost = first_lost(addresses, timeout, answers, over.wait)
        if lost:
            _exit(f"{lost} has not answered for {timeout:g} s", on_lost)

    threading.Thread(target=watch, name="ndabench-head-watchdog", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def first_lost(
    addresses: Mapping[str, Address],
    timeout: float,
    answers: Callable[[Address], bool],
    pause: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """The name of the first address that does not answer for `timeout` s; empty once `pause` returns True."""
    answered = dict.fromkeys(addresses, clock())
    while not pause(SECONDS_BETWEEN_PROBES):
        for name, address in addresses.items():
            if answers(address):
                answered[name] = clock()
            elif clock() - answered[name] >= timeout:
                return name
    return ""


def answers(address: Address) -> bool:
    """Whether a process listens at the address."""
    try:
        socket.create_connection(address, SECONDS_TO_ANSWER).close()
    except OSError:
        return False
    return True


def _watched_addresses() -> dict[str, Address]:
    if ray_client.is_connected():
        return {}  # a `ray://` address: Ray's driver is then its proxy on the head
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    own = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    return {
        f"the head of the Ray cluster at {context.gcs_address}": (host.strip("[]"), int(port)),
        f"Ray's node on this machine, {own['NodeManagerAddress']},": (
            own["NodeManagerAddress"],
            own["NodeManagerPort"],
        ),
    }


def _exit(message: str, on_lost: Callable[[str], None]) -> NoReturn:
    with contextlib.suppress(Exception):
        on_lost(message)
    if sys.stdout.isatty():
        sys.stdout.write(SHOW_CURSOR + "\n")
    sys.stdout.flush()
    print(f"error: {message}; once Ray is back, --resume continues from the records", file=sys.stderr)
    sys.stderr.flush()
    os._exit(2)
