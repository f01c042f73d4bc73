"""Trials as runs in Weights & Biases; the id of a run is the trial's."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ndabench.errors import UserError
from ndabench.records import RecordStore, TrialRow
from ndabench.tracking.config import WandbConfig
from ndabench.tracking.tracker import local_folder, not_installed, run_name, run_settings


class WandbTracker:
    """Holds any number of open runs in this process; offline, it writes their files."""

    name = "Weights & Biases"

    def __init__(self, config: WandbConfig, sweep: str, store: RecordStore) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb  # late: an optional package
        except ImportError:
            raise not_installed("wandb", "wandb") from None
        if config.mode == "online" and not wandb.api.api_key:  # W&B would ask for one later
            raise UserError("track.wandb: no API key; `wandb login` first, or mode: offline")
        self._config, self._sweep = config, sweep
        self._folder = config.folder or local_folder(store, "track.wandb.folder")
        self._runs: dict[str, Any] = {}
        self._last: dict[str, int] = {}
        """The last step that each open run has."""

    def begin(self, row: TrialRow) -> int:
        import wandb  # late: an optional package

        if row.trial_id in self._runs:
            return self._last[row.trial_id]
        while self._holds_a_run_of_this_second(row.trial_id):
            time.sleep(0.1)
        run = wandb.init(
            project=self._config.project,
            entity=self._config.entity,
            mode=self._config.mode,
            dir=self._folder,
            id=row.trial_id,
            name=run_name(row),
            group=self._sweep,
            config=run_settings(row),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,  # the configuration has the commit
                save_code=False,
                x_disable_stats=True,  # the driver's machine is not the trials'
                x_disable_meta=True,  # the command line and its `--set` may hold a secret
            ),
        )
        self._runs[row.trial_id] = run
        self._last[row.trial_id] = run.step - 1 if run.resumed else -1
        return self._last[row.trial_id]

    def _holds_a_run_of_this_second(self, trial_id: str) -> bool:
        """W&B names a run's folder by the second and writes nothing when another run has that folder."""
        return any(Path(self._folder).glob(f"wandb/*run-{time.strftime('%Y%m%d_%H%M%S')}-{trial_id}"))

    def log(self, trial_id: str, step: int, values: Mapping[str, float]) -> None:
        self._runs[trial_id].log(dict(values), step=step)
        self._last[trial_id] = step

    def end(self, row: TrialRow) -> None:
        run = self._runs[row.trial_id]
        run.summary.update({"status": row.status, "error": row.error or ""})
        run.finish(exit_code=0 if row.status in ("finished", "pruned", "stopped") else 1)
        del self._runs[row.trial_id]

    def close(self) -> None:
        """Does nothing: W&B closes its open runs when the process ends."""
