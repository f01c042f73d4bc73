"""Keeps the report current while a sweep runs."""

import time
from collections.abc import Callable, Iterator

from ndabench.errors import UserError
from ndabench.records import RecordStore, SweepStatus, read_status
from ndabench.records.status import StatusError
from ndabench.reporting.page import write_report

SHARE = 0.2
"""The largest share of the time to spend on reports: for a long sweep, one takes seconds."""


def watch(store: RecordStore, every: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Writes the report whenever the records have changed; looks for changes every `every` seconds.

    Yields a line of text for each report that it wrote and for each problem, after which it continues. Ends
    with the sweep, after the last report; never ends if no driver of a sweep is running.
    """
    store = store.without_retry()  # this loop is the retry
    seen = problem = damaged = ""
    silent = False
    while True:
        began = time.monotonic()
        try:
            try:  # read before the records: once it says that the sweep is over, they are complete
                status = read_status(store)
            except StatusError as error:  # the report is written without it
                status = None
                if str(error) != damaged:
                    damaged = str(error)
                    yield damaged
            over = status is not None and status.exit_code is not None
            stamp = f"{store.fingerprint()} {over}"
            if stamp != seen:
                if store.list("trials"):
                    yield f"{_standing(status)}{write_report(store, None if over else every)}"
                elif not seen:
                    yield f"waiting for the first records in {store.root}"
                seen, problem = stamp, ""
            if over:
                return
            if silent != (silent := status is not None and status.is_silent()) and silent:
                assert status is not None
                since = f"{status.updated:%Y-%m-%d %H:%M} UTC"
                yield f"the driver on {status.host} has written nothing since {since}"
        except UserError as error:  # the storage may come back
            if str(error) != problem:
                problem = str(error)
                yield problem
        sleep(max(every, (time.monotonic() - began) * (1 / SHARE - 1)))


def _standing(status: SweepStatus | None) -> str:
    """`3 of 24 trials ended, 2 running: `"""
    if status is None:
        return ""
    trials = status.trials
    return f"{status.ended} of {trials.get('total', 0)} trials ended, {trials.get('running', 0)} running: "
