"""Two networks on this machine with a cable between them that can be cut and mended; needs root on Linux."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

NEAR, FAR = "10.77.0.1", "10.77.0.2"
"""Addresses; the networks are empty but for these, so they are in nobody's way."""


@dataclass(frozen=True)
class Network:
    """Where processes live that see nothing but each other, and through the cable the other network."""

    ip: str
    process: int

    @property
    def inside(self) -> list[str]:
        """In front of a command, runs it there."""
        return ["nsenter", f"--net=/proc/{self.process}/ns/net"]


@dataclass(frozen=True)
class Cable:
    near: Network
    far: Network

    def cut(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        self._set("down")

    def mend(self) -> None:
        self._set("up")

    def _set(self, state: str) -> None:
        subprocess.run([*self.near.inside, "ip", "link", "set", "cable", state], check=True)


@contextmanager
def two_networks() -> Iterator[Cable | None]:
    """None where they cannot be made here."""
    with ExitStack() as stack:
        near, far = (stack.enter_context(_network(ip)) for ip in (NEAR, FAR))
        if near is None or far is None:
            yield None
            return
        ends = ["cable", "type", "veth", "peer", "name", "cable", "netns", str(far.process)]
        subprocess.run([*near.inside, "ip", "link", "add", "name", *ends], check=True)
        for network in (near, far):
            for arguments in (
                ["addr", "add", f"{network.ip}/24", "dev", "cable"],
                ["link", "set", "cable", "up"],
                ["link", "set", "lo", "up"],
            ):
                subprocess.run([*network.inside, "ip", *arguments], check=True)
        yield Cable(near, far)


@contextmanager
def _network(ip: str) -> Iterator[Network | None]:
    """It lasts as long as a process in it."""
    if any(shutil.which(tool) is None for tool in ("unshare", "nsenter", "ip")):
        yield None
        return
    command = ["unshare", "--net", "sh", "-c", "echo made; exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield Network(ip, process.pid) if process.stdout.readline() == "made\n" else None
        finally:
            process.kill()
