"""A trial's log, `logs/<trial>.txt`: the last lines of what ndabench said in all attempts at it."""

import contextlib
import logging
import time
import traceback
from collections import deque
from collections.abc import Iterator

from ndabench.errors import UserError
from ndabench.foreign_text import escaped, shortened, without_secrets
from ndabench.log_level import logged
from ndabench.records.store import RecordStore

MOST_LINES = 200
LONGEST_LINE = 500
"""Characters of a line."""


def read_log(store: RecordStore, trial_id: str) -> list[str]:
    """The last lines of the trial's log, each beginning with its time in UTC; empty where there is none."""
    content = store.read_bytes(_path(trial_id)) or b""
    return content.decode(errors="replace").splitlines()[-MOST_LINES:]


class TrialLog(logging.Handler):
    """Continues the log of a trial's earlier attempts; nothing is written before `save`."""

    def __init__(self, store: RecordStore, trial_id: str) -> None:
        super().__init__()
        self._store, self._path = store.without_retry(), _path(trial_id)
        self._lines = deque(read_log(store, trial_id), MOST_LINES)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Adds what ndabench's own logger says, from INFO on, while the block lasts."""
        with logged(min(logging.getLogger("ndabench").getEffectiveLevel(), logging.INFO), self):
            yield

    def emit(self, record: logging.LogRecord) -> None:
        self.say(record.getMessage())

    def say(self, text: str) -> None:
        """Adds one line, or several."""
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        for line in text.splitlines():
            self._lines.append(shortened(f"{now} {escaped(without_secrets(line))}", LONGEST_LINE))

    def say_error(self, error: Exception) -> None:
        """Adds what a user did wrong, or the traceback of anything else."""
        mistake = isinstance(error, UserError)
        self.say(str(error) if mistake else "".join(traceback.format_exception(error)))

    def save(self) -> None:
        """Writes the log. Storage that fails is left to what must be written."""
        with contextlib.suppress(UserError):
            self._store.write_bytes(self._path, "".join(f"{line}\n" for line in self._lines).encode())


def _path(trial_id: str) -> str:
    return f"logs/{trial_id}.txt"
