"""What a driver cannot live without: the head of its cluster, and Ray's main process on its own machine.

Left to itself Ray ends a driver whose head is gone after a minute, with a message of its own, and lets one
whose own node is gone wait for ever. Here both end with one line, and `--resume` goes on.
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
from ray.util.client import ray as ray_client

SECONDS_BETWEEN_KNOCKS = 2.0
SECONDS_TO_ANSWER = 5.0
PATIENCE_OF_RAY = "RAY_gcs_rpc_server_reconnect_timeout_s"
"""Ray's own setting: the seconds after which it ends a process that does not reach the head."""
SHOW_CURSOR = "\x1b[?25h"

Address = tuple[str, int]


@contextlib.contextmanager
def lifelines(on_lost: Callable[[str], None]) -> Iterator[None]:
    """While the block lasts: where one is lost, `on_lost` hears why and the process ends with exit code 2.

    At once, for what waits for an answer of the cluster cannot be interrupted. Ray must be connected.
    """
    patience = float(os.environ.get(PATIENCE_OF_RAY) or 60) / 2
    lines, over = _lines(), threading.Event()

    def watch() -> None:
        lost = first_lost(lines, patience, answers, over.wait)
        if lost:
            _end(f"{lost} has not answered for {patience:g} s", on_lost)

    threading.Thread(target=watch, name="ndabench-lifelines", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def first_lost(
    lines: Mapping[str, Address],
    patience: float,
    answers: Callable[[Address], bool],
    pause: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """The first of `lines` that answers nothing for `patience` seconds; empty once `pause` returns True."""
    heard = dict.fromkeys(lines, clock())
    while not pause(SECONDS_BETWEEN_KNOCKS):
        for name, address in lines.items():
            if answers(address):
                heard[name] = clock()
            elif clock() - heard[name] >= patience:
                return name
    return ""


def answers(address: Address) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(address, SECONDS_TO_ANSWER).close()
    except OSError:
        return False
    return True


def _lines() -> dict[str, Address]:
    if ray_client.is_connected():
        return {}  # a `ray://` address: its proxy on the head is the driver that Ray knows
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


def _end(message: str, on_lost: Callable[[str], None]) -> NoReturn:
    with contextlib.suppress(Exception):
        on_lost(message)
    if sys.stdout.isatty():
        sys.stdout.write(SHOW_CURSOR + "\n")
    sys.stdout.flush()
    print(
        f"error: {message}; when Ray is there again, --resume goes on with what is recorded", file=sys.stderr
    )
    sys.stderr.flush()
    os._exit(2)
