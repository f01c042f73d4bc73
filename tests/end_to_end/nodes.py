"""A Ray cluster of several nodes on this machine; nodes may be lost, and others may join."""

import json
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.end_to_end.driving import Command, wait_until

HERE = Path(__file__).parent
LOOPBACK = "127.0.0.1"


class Nodes:
    """The nodes of one cluster, the head first; all of them are gone after its `with` block.

    Only this user's processes may join. Everything listens on `ip` alone, which is loopback unless the nodes
    live in network namespaces of their own.
    """

    def __init__(self, environment: Mapping[str, str], ip: str = LOOPBACK) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ndabench-ray-", dir="/tmp"))  # short: sockets lie in it
        token = self._folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        self._port = _free_port()
        self.address = f"{ip}:{self._port}"
        self._environment = {
            **environment,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
        }
        if ip == LOOPBACK:  # else Ray listens on every interface
            self._environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        self.environment = {**self._environment, "RAY_ADDRESS": self.address}
        """That of a command which joins the cluster."""
        self.jobs_address = ""
        self.all: list[Command] = []

    def add(
        self,
        cpus: int,
        resources: Mapping[str, float] | None = None,
        ip: str = LOOPBACK,
        prefix: Sequence[str] = (),
        gpus: int = 0,
        jobs: bool = False,
        **environment: str,
    ) -> Command:
        """Starts a node, the head if it is the first; `prefix` is a command to run it in.

        Ray believes in `gpus` that are only declared. A head with `jobs` takes them at `jobs_address`.
        """
        kind = "worker" if self.all else "head"
        parameters: dict[str, Any] = {
            "node_ip_address": ip,
            "num_cpus": cpus,
            "num_gpus": gpus,
            "resources": resources or {},
            "object_store_memory": 80 * 2**20,
            **({"gcs_address": self.address} if self.all else {"gcs_server_port": self._port}),
            **({} if self.all else {"temp_dir": str(self._folder)}),
            **(self._dashboard() if jobs else {}),
        }
        command = [*prefix, sys.executable, str(HERE / "one_node.py"), kind, json.dumps(parameters)]
        node = Command(self._folder, command, {**self._environment, **environment})
        self.all.append(node)
        wait_until(lambda: node.output() == "up\n" or not node.running, "a node is up")
        assert node.running, node.ended()
        return node

    def _dashboard(self) -> Mapping[str, Any]:
        port = _free_port()
        self.jobs_address = f"http://{LOOPBACK}:{port}"
        # What `ray start` writes: else a job joins whichever cluster it finds on this machine.
        (self._folder / "ray_current_cluster").write_text(self.address)
        listening = {"dashboard_host": LOOPBACK, "dashboard_port": port, "dashboard_agent_listen_port": 0}
        return {"include_dashboard": True, **listening}

    def __enter__(self) -> "Nodes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in reversed(self.all):
            node.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_port() -> int:
    """One above those that Ray hands to its workers."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
