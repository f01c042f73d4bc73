"""`python -m ndabench.orchestration.preparation_process FOLDER`: prepares what the trials of a sweep share.

The driver of a sweep imports no PyTorch: a child runs this module where the sweep runs on this machine, and a
Ray task calls `prepare_trials` on a cluster. The child reads `request.json` in the folder and writes
`answer.json`: the text of a `UserError` or null, and a `Prepared` or null. Its log goes to the open file that
the request names, line by line. It ends when the driver does, and with it the folder.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import torch

from ndabench.errors import UserError
from ndabench.log_level import terminal_handler
from ndabench.machine import usable_cpus
from ndabench.records.trial_recorder import one_line
from ndabench.trials.config import Prepared, TrialConfig
from ndabench.trials.run import prepare


def prepare_trials(
    trials: Sequence[str], num_workers: int, device: torch.device, *, check: bool, timed: bool = False
) -> tuple[str | None, Prepared | None]:
    """Prepares trials given as JSON; see `trials.run.prepare`. Returns the line of a `UserError`, or what it
    found.
    """
    try:
        configs = [TrialConfig.from_json(trial) for trial in trials]
        return None, prepare(configs, device, num_workers, check=check, timed=timed)
    except UserError as error:
        return str(error), None
    except Exception as error:  # a training step may raise anything; a trial would record it as this line
        if not check:
            raise
        return f"a trial would fail: {one_line(error)}; --no-check starts without trying", None


def main() -> None:
    """Answers `{"trials": [...], "num_workers": n, "check": true, "timed_threads": 0, "log": 7}` with
    `[problem, prepared]`; to be timed, a trial has as many threads as it will have, else those of the
    machine."""
    threading.Thread(target=_exit_with_the_driver, daemon=True).start()
    folder = Path(sys.argv[1])
    request = json.loads((folder / "request.json").read_text())
    logger = logging.getLogger("ndabench")
    logger.setLevel(logging.INFO)
    logger.addHandler(terminal_handler(os.fdopen(request["log"], "w", buffering=1)))
    threads = request["timed_threads"] or usable_cpus()  # PyTorch knows no quotas
    torch.set_num_threads(min(torch.get_num_threads(), threads))
    answer = prepare_trials(
        request["trials"],
        request["num_workers"],
        torch.device("cpu"),
        check=request["check"],
        timed=bool(request["timed_threads"]),
    )
    (folder / "answer.json").write_text(json.dumps(answer))


def _exit_with_the_driver() -> None:
    """Standard input is a pipe that the driver never writes to; it closes when the driver is gone.

    Not through `sys.stdin`: processes that decode are forked, and would wait for ever for its lock.
    """
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError:
        if Path(sys.argv[1]).is_dir():
            raise
        sys.exit(1)  # Ctrl-C came while the driver started this process: it has removed the folder and ends
