"""What every tracker keeps to, the toy of `examples/plugin` included: it mirrors the records in any case.

Each is followed once, in three parts: a driver whose tracker fails at every call, before or after it has done
what it was asked, and who is then killed; a driver who takes over and sees the trial end; and the reading of
what the tracker holds now, by its own format.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ndabench.config import Config, parse
from ndabench.records import RecordStore, TrialRow
from ndabench.tracking.mirror import Mirror
from ndabench.tracking.registry import TRACKERS, Track, make_trackers
from ndabench.tracking.tracker import Tracker
from tests.registrations import toy_registered
from tests.tracking.tracked import write_row, write_step

TRIAL = "jigsaw-01"
SECRET = "hunter2secret"
STEPS: Mapping[int, Mapping[str, float]] = {
    0: {"loss": 3.0, "val_fd": 9.0},
    10: {"loss": 2.0},
    20: {"loss": 1.0, "val_fd": 4.5},
}
Points = list[tuple[int, str, float]]
EXPECTED: Points = [(step, name, value) for step, values in STEPS.items() for name, value in values.items()]


@dataclass
class Shown:
    """What a tracker holds of the trial, in the order in which it shows it."""

    points: Points
    ending: str | None
    """How the trial ended, in the tracker's words; None where it has no place for that."""


def _tensorboard(store: RecordStore) -> Shown:
    from tensorboardX.proto.event_pb2 import Event

    (file,) = store.list(f"tensorboard/{TRIAL}")
    data = store.read_bytes(file) or b""
    points: Points = []
    while data:
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        points += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        data = data[16 + length :]
    return Shown(points, None)


def _mlflow(store: RecordStore) -> Shown:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store.root}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'synthetic'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == f"jigsaw λ=0.25 seed 1 ({TRIAL})"
    assert run.data.params.items() >= {("lambda", "0.25"), ("width", "8"), ("arm", "jigsaw")}
    points = [
        (metric.step, name, metric.value)
        for name in run.data.metrics
        for metric in client.get_metric_history(run.info.run_id, name)
    ]
    return Shown(sorted(points), f"{run.info.status}: {run.data.tags.get('ndabench.error')}")


def _wandb(store: RecordStore) -> Shown:
    """What `wandb sync` makes of all files: a server leaves out what is no later than its last step."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # generated code

    points: Points = []
    ending, last = "", -1
    for file in sorted(Path(store.root).glob(f"wandb/offline-run-*-{TRIAL}/run-{TRIAL}.wandb")):
        for content in _leveldb(file.read_bytes()):
            record = Record.FromString(content)
            items = {one.key or ".".join(one.nested_key): one.value_json for one in record.history.item}
            values = {name: json.loads(value) for name, value in items.items()}
            if values and (step := values["_step"]) > last:
                own = {name: value for name, value in values.items() if not name.startswith("_")}
                points += [(step, name, value) for name, value in sorted(own.items())]
                last = step
            for one in record.summary.update:
                if one.key == "error" or one.nested_key == ["error"]:
                    ending = json.loads(one.value_json)
            if record.WhichOneof("record_type") == "exit":
                ending = f"exit {record.exit.exit_code}: {ending}"
    return Shown(points, ending)


def _leveldb(data: bytes) -> Iterator[bytes]:
    """The records of LevelDB's log format, which W&B's files have after seven bytes."""
    block, at, whole = 2**15, 7, b""
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield whole
            whole = b""


def _toy_lines(store: RecordStore) -> Shown:
    lines = [json.loads(line) for line in (store.read_bytes(f"lines/{TRIAL}.jsonl") or b"").splitlines()]
    points = [(one["step"], *item) for one in lines if "step" in one for item in one["values"].items()]
    return Shown(points, next((one["status"] for one in lines if "status" in one), None))


@dataclass(frozen=True)
class Reading:
    """How what a tracker holds is read."""

    read: Callable[[RecordStore], Shown]
    running: str | None
    failed: str | None
    """How it says that the trial runs, and that it failed."""
    package: str | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)


READINGS = {
    "tensorboard": Reading(_tensorboard, None, None, "tensorboardX"),
    "mlflow": Reading(_mlflow, "RUNNING: None", "FAILED: RuntimeError: no", "mlflow"),
    "wandb": Reading(_wandb, "exit 0: ", "exit 1: RuntimeError: no", "wandb"),
    "toy_lines": Reading(_toy_lines, None, "failed"),
}


class Failing:
    """A tracker over another, whose calls fail as `plan` says: before or after they have done their work."""

    def __init__(self, tracker: Tracker, plan: Sequence[tuple[str, str]]) -> None:
        self._tracker, self.plan = tracker, list(plan)
        self.name = tracker.name

    def _call(self, method: str, *arguments: Any) -> Any:
        when = self.plan.pop(0)[1] if self.plan and self.plan[0][0] == method else ""
        if when == "before":
            raise ConnectionError("lost the request")
        result = getattr(self._tracker, method)(*arguments)
        if when == "after":
            raise ConnectionError("lost the answer")
        return result

    def begin(self, row: TrialRow) -> int:
        return int(self._call("begin", row))

    def log(self, trial_id: str, step: int, values: Mapping[str, float]) -> None:
        self._call("log", trial_id, step, values)

    def end(self, row: TrialRow) -> None:
        self._call("end", row)

    def close(self) -> None:
        self._tracker.close()


class Listener:
    """Another tracker of the same driver."""

    name = "listener"

    def __init__(self) -> None:
        self.steps: list[int] = []

    def begin(self, row: TrialRow) -> int:
        return -1

    def log(self, trial_id: str, step: int, values: Mapping[str, float]) -> None:
        self.steps.append(step)

    def end(self, row: TrialRow) -> None:
        self.steps.append(-1)

    def close(self) -> None:
        pass


@dataclass
class Story:
    """What was seen while a tracker was followed."""

    name: str
    store: RecordStore
    written_when_made: set[str]
    after_the_first_driver: Shown
    after_the_second: Shown
    heard_by_another: list[int]
    warnings: list[str]


@pytest.fixture(scope="module", autouse=True)
def toy_is_registered() -> Iterator[None]:
    with toy_registered():
        yield


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow if name == "mlflow" else ()) for name in READINGS],
)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    reading = READINGS[request.param]
    if reading.package is not None:
        pytest.importorskip(reading.package)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*sys.argv, "--set", f"data.path=s3://key:{SECRET}@bucket/data"])
        for variable in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "SOME_TOKEN"):
            patch.setenv(variable, SECRET)
        patch.delenv("WANDB_API_KEY", raising=False)
        yield _followed(request.param, RecordStore(str(tmp_path_factory.mktemp(request.param) / "out")))


def _followed(name: str, store: RecordStore) -> Story:
    write_row(store, "running")
    for step in (0, 10):
        write_step(store, step, TRIAL, **STEPS[step])
    before = _files(store)
    (tracker,) = _made(name, store)
    new = _files(store) - before
    other, warnings = Listener(), _Warnings()
    logger = logging.getLogger("ndabench.tracking.mirror")
    logger.addHandler(warnings)
    failing = Failing(
        tracker,
        [("begin", "before"), ("begin", "after"), ("log", "before"), ("log", "after"), ("log", "after")],
    )
    with Mirror(store, [failing, other], pause=0.01) as mirror:
        mirror.changed(TRIAL)
        deadline = time.monotonic() + 60
        while failing.plan and time.monotonic() < deadline:
            time.sleep(0.01)
    assert not failing.plan
    _end_of_process(name)
    first = READINGS[name].read(store)

    write_step(store, 20, TRIAL, **STEPS[20])
    write_row(store, "failed", error=f"RuntimeError: no s3://key:{SECRET}@bucket")
    (tracker,) = _made(name, store)
    failing = Failing(tracker, [("end", "before")])
    with Mirror(store, [failing], pause=0.01) as mirror:
        mirror.changed(TRIAL)
        deadline = time.monotonic() + 60
        while failing.plan and time.monotonic() < deadline:
            time.sleep(0.01)
    _end_of_process(name)
    logger.removeHandler(warnings)
    return Story(name, store, new, first, READINGS[name].read(store), other.steps, warnings.lines)


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _made(name: str, store: RecordStore) -> list[Tracker]:
    kind: Any = Track
    wanted: Mapping[str, Config] = parse(kind, {"tensorboard": False, name: READINGS[name].keys}, "track")
    return make_trackers(wanted, "synthetic", store)


def _end_of_process(name: str) -> None:
    """W&B keeps runs open until its process ends, which these drivers' does not."""
    if name == "wandb":
        import wandb

        wandb.teardown()


def _files(store: RecordStore) -> set[str]:
    return {str(path) for path in Path(store.root).rglob("*")}


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's tables


def test_the_suite_runs_over_every_tracker_of_ours_and_the_toy() -> None:
    assert set(TRACKERS) == set(READINGS)


def test_it_writes_nothing_before_a_trial_begins(story: Story) -> None:
    assert story.written_when_made == set()


def test_it_holds_the_records_of_a_running_trial_each_value_once(story: Story) -> None:
    """Although every call had failed once, before or after it was carried out."""
    assert sorted(story.after_the_first_driver.points) == sorted(one for one in EXPECTED if one[0] < 20)


def test_the_next_driver_continues_it_without_doubles(story: Story) -> None:
    assert sorted(story.after_the_second.points) == sorted(EXPECTED)


def test_steps_are_shown_in_order(story: Story) -> None:
    steps = [step for step, _, _ in story.after_the_second.points]
    assert steps == sorted(steps)


def test_it_says_how_the_trial_ended(story: Story) -> None:
    reading = READINGS[story.name]
    assert story.after_the_first_driver.ending == reading.running
    if reading.failed is None:
        assert story.after_the_second.ending is None
    else:
        assert str(story.after_the_second.ending).startswith(reading.failed)


def test_its_failures_reach_neither_the_records_nor_another_tracker(story: Story) -> None:
    assert dict(story.store.read_steps(TRIAL, -1)) == STEPS
    assert story.heard_by_another == [0, 10]
    assert len(story.warnings) >= 2
    assert all("the sweep continues and tries this again" in line for line in story.warnings)


def test_it_writes_no_secret_of_the_environment_the_command_line_or_an_error(story: Story) -> None:
    written = [path for path in Path(story.store.root).rglob("*") if path.is_file()]
    own = [
        path for path in written if path.relative_to(story.store.root).parts[0] not in ("trials", "metrics")
    ]
    assert own
    assert [path for path in own if SECRET.encode() in path.read_bytes()] == []
