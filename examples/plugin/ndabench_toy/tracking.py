"""The toy tracker: a file of JSON lines for each trial."""

import json
from collections.abc import Mapping

from ndabench.records import RecordStore, TrialRow
from ndabench_toy import LinesConfig


class LinesTracker:
    """Writes `lines/<trial>.jsonl` next to the records: a line for each step, and one for the end."""

    name = "toy lines"

    def __init__(self, config: LinesConfig, sweep: str, store: RecordStore) -> None:
        self.store = store

    def begin(self, row: TrialRow) -> int:
        steps = [line["step"] for line in self._lines(row.trial_id) if "step" in line]
        return max(steps, default=-1)

    def log(self, trial_id: str, step: int, values: Mapping[str, float]) -> None:
        self._add(trial_id, {"step": step, "values": dict(values)})

    def end(self, row: TrialRow) -> None:
        self._add(row.trial_id, {"status": row.status})

    def close(self) -> None:
        """Every line is written at once."""

    def _lines(self, trial_id: str) -> list[dict]:
        content = self.store.read_bytes(f"lines/{trial_id}.jsonl") or b""
        return [json.loads(line) for line in content.splitlines()]

    def _add(self, trial_id: str, line: Mapping[str, object]) -> None:
        lines = [*self._lines(trial_id), line]
        self.store.write_bytes(f"lines/{trial_id}.jsonl", "\n".join(map(json.dumps, lines)).encode())
