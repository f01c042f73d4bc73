"""What the checks write: one JSON line per measurement, as soon as it is known.

A line is whole and self-contained: it names the check, the card, the versions and the commit, so that it
means the same in a report (`ndabench import-records`) as in the folder that it came from.
"""

import json
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch

RESULTS, LOG, SUMMARY = "results.jsonl", "log.txt", "summary.txt"
MOST_FILES, MOST_BYTES = 8, 16 * 2**20
"""What a machine sends back; the three files above count."""

Status = Literal["measured", "failed", "needs a card", "out of time", "not reached"]
Unit = str


@dataclass(frozen=True)
class Bench:
    """What a check gets: where it runs, how long it may take, and how it reports."""

    check: str
    device: torch.device
    rehearse: bool
    """Tiny sizes, which prove that the code runs and measure nothing."""
    folder: Path
    seconds: float
    """How long the check may take; a check that fills its time (a training) looks at `left`."""
    commit: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds until this check is ended."""
        return self.started + self.seconds - time.monotonic()

    @property
    def on_card(self) -> bool:
        return self.device.type == "cuda"

    def sized(self, full: Any, tiny: Any) -> Any:
        """`full` in earnest, `tiny` in a rehearsal."""
        return tiny if self.rehearse else full

    def measured(
        self,
        name: str,
        value: float,
        unit: Unit = "",
        *,
        samples: Sequence[float] = (),
        at_least: float | None = None,
        at_most: float | None = None,
        protocol: Mapping[str, Any] | None = None,
        note: str = "",
    ) -> None:
        """One speed, size or score. Its target is judged on a card in full size only."""
        judged = self.on_card and not self.rehearse
        self._line(
            name, value, unit, samples, at_least, at_most, protocol or {}, note, judged, kind="measurement"
        )

    def proved(
        self,
        name: str,
        value: float,
        unit: Unit = "",
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        protocol: Mapping[str, Any] | None = None,
        note: str = "",
    ) -> None:
        """One fact about correctness; it must hold in a rehearsal, too."""
        self._line(name, value, unit, (), at_least, at_most, protocol or {}, note, True, kind="proof")

    def _line(
        self,
        name: str,
        value: float,
        unit: Unit,
        samples: Sequence[float],
        at_least: float | None,
        at_most: float | None,
        protocol: Mapping[str, Any],
        note: str,
        judged: bool,
        *,
        kind: str,
    ) -> None:
        passed = None
        if judged and (at_least is not None or at_most is not None):
            # written so that NaN never passes
            passed = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
        self.write(
            name,
            "measured",
            note,
            value=value,
            unit=unit,
            kind=kind,
            spread=quartiles(samples),
            n=max(1, len(samples)),
            target={"at_least": at_least, "at_most": at_most},
            passed=passed,
            better="higher" if at_least is not None else "lower" if at_most is not None else "neither",
            protocol=dict(protocol),
        )

    def write(self, name: str, status: Status, note: str = "", **values: Any) -> None:
        """Appends a line with everything that identifies it."""
        line = {
            "check": self.check,
            "name": name,
            "status": status,
            "note": note,
            **values,
            "seconds": round(time.monotonic() - self.started, 3),
            "rehearsal": self.rehearse,
            "device": self.device.type,
            "card": card(self.device),
            "versions": versions(),
            "commit": self.commit,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        append(self.folder, line)

    def keep(self, name: str, content: bytes) -> None:
        """Keeps a picture or a profile among the results, unless it is too large or they are too many."""
        others = {RESULTS, LOG, SUMMARY, *(path.name for path in self.folder.iterdir())} - {name}
        if len(content) > MOST_BYTES or len(others) >= MOST_FILES:
            print(f"left out: {name} ({len(content)} bytes, {len(others)} other files)")
            return
        (self.folder / name).write_bytes(content)


def append(folder: Path, line: Mapping[str, Any]) -> None:
    """Adds one line; a process that is killed leaves whole lines only."""
    # JSON knows no NaN: such a value is null, and the line says that it failed.
    value = line.get("value")
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        line = {
            **line,
            "value": None,
            "passed": False,
            "note": f"the value is {value}. {line['note']}".strip(),
        }
    with (folder / RESULTS).open("a") as file:
        file.write(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """All lines so far."""
    path = folder / RESULTS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def quartiles(samples: Sequence[float]) -> tuple[float, float] | None:
    if len(samples) < 2:
        return None
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, high


def card(device: torch.device) -> str:
    """The card's name, or the processor's. Only a process that may start CUDA asks for a card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__}
    for package in ("torchvision", "triton", "numpy", "pydantic"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
