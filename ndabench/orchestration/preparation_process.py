"""`python -m ndabench.orchestration.preparation_process`: prepares the data and evaluations of a sweep.

The driver of a sweep imports no PyTorch: a child runs this module where the sweep runs on this machine, and a
Ray task calls `prepare_trials` on a cluster. The child reads one JSON object from its standard input and
writes one to its standard output. The log goes to standard error, line by line. It ends when the driver does.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Sequence

import torch

from ndabench.errors import UserError
from ndabench.trials.config import TrialConfig
from ndabench.trials.run import prepare


def prepare_trials(trials: Sequence[str], num_workers: int, device: torch.device) -> str | None:
    """Prepares trials given as JSON; returns the line of the `UserError` that it meets, None without one."""
    try:
        prepare([TrialConfig.model_validate_json(trial) for trial in trials], device, num_workers)
    except UserError as error:
        return str(error)
    return None


def main() -> None:
    """Answers `{"trials": [...], "num_workers": n}` with `{"problem": "..." or null}`."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answer:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no part of the answer
        logger = logging.getLogger("ndabench")
        logger.setLevel(logging.INFO)
        logger.addHandler(logging.StreamHandler())
        request = json.loads(sys.stdin.readline())
        threading.Thread(target=_exit_with_the_driver, daemon=True).start()
        problem = prepare_trials(request["trials"], request["num_workers"], torch.device("cpu"))
        json.dump({"problem": problem}, answer)


def _exit_with_the_driver() -> None:
    """The driver keeps its end of the pipe open: it closes when the driver is gone, however it ended."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
