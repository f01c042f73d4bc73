"""What befalls a trial in its own process: killed, hung, raising for a while. All in one sweep.

test_train.py has a sweep in which a process is killed, and nothing else.
"""

from collections.abc import Iterator

import pytest

from ndabench.records import RecordStore
from tests.end_to_end.driving import UNCHECKED_SWEEP, Bench, Reference, metrics, statuses
from tests.end_to_end.faults import losses, sabotaged
from tests.end_to_end.memory_limits import limited_memory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SILENCE = 15
FAULTS = [
    {"trial": "none 0", "step": 0, "what": "kill"},  # before it has a checkpoint
    {"trial": "none 0", "step": 10, "what": "kill"},
    {"trial": "none 0", "step": 16, "what": "stop"},
    {"trial": "negative 0", "step": 12, "what": "raise", "times": 3},  # as often as it is tried
]
RAISED = "jigsaw λ=0.5 seed 0: RuntimeError: sabotage (sitecustomize.py); resuming from its checkpoint"
LOST = [
    RAISED,
    RAISED,
    f"none seed 0: its process sent no heartbeat for {SILENCE} s and was killed; "
    "resuming from its checkpoint",
    "none seed 0: its process was lost; restarting from scratch",
    "none seed 0: its process was lost; resuming from its checkpoint",
]


@pytest.mark.release
def test_faults_of_one_worker(bench: Bench, reference: Reference) -> None:
    """Each is said, tried again within bounds, and leaves the records as if nothing had been."""
    out = bench.folder / "out"
    resources = {"max_concurrent": 2, "max_silence_seconds": SILENCE}
    options = [bench.file(seeds=[0], resources=resources), "--out", str(out)]
    ended = sabotaged(bench, FAULTS).sweep(*options)
    assert (ended.code, ended.stderr) == (1, "")
    assert sorted(losses(ended.stdout)) == LOST, ended.stdout
    for number in (1, 2):
        assert f" in {number} s, restart {number} of 2 without progress\n" in ended.stdout
    (given_up,) = (line for line in ended.stdout.splitlines() if "given up" in line)
    assert "jigsaw λ=0.5 seed 0: failed" in given_up
    assert "; given up after 2 restarts without progress)" in given_up
    assert ended.stdout.endswith("complete: 1 failed, 1 finished\n")
    rows = RecordStore(str(out)).read_trials().to_pylist()
    assert {row["arm"]: (row["status"], row["attempts"]) for row in rows} == {
        "none": ("finished", 4),
        "jigsaw": ("failed", 3),
    }

    resumed = bench.sweep(*options, "--resume")
    assert (resumed.code, resumed.stderr) == (0, "")
    assert resumed.stdout.endswith("complete: 2 finished\n")
    assert metrics(out) == reference.metrics_of(statuses(out))


@pytest.fixture
def little_memory() -> Iterator[list[str]]:
    with limited_memory(4 * 2**30) as prefix:
        if prefix is None:
            pytest.skip("memory cannot be limited here: that takes root and cgroups")
        yield prefix


@pytest.mark.release
def test_a_trial_that_runs_out_of_memory(
    bench: Bench, little_memory: list[str], reference: Reference
) -> None:
    """Ray's monitor ends it before the machine suffers, and it goes on."""
    out = bench.folder / "out"
    hungry = sabotaged(bench, [{"trial": "none 0", "step": 12, "what": "fill memory"}])
    hungry = Bench(bench.folder, {**hungry.environment, "RAY_memory_usage_threshold": "0.8"})
    one = ["--set", "arms=[none]", "--set", "seeds=[0]"]
    command = hungry.start(*UNCHECKED_SWEEP, bench.file(), *one, "--out", str(out), prefix=little_memory)
    try:
        ended = command.ended()
    finally:
        command.kill()
    assert (ended.code, ended.stderr) == (0, "")
    reason = "its process was ended by Ray, because its node ran out of memory"
    assert losses(ended.stdout) == [f"none seed 0: {reason}; resuming from its checkpoint"]
    assert ended.stdout.endswith("complete: 1 finished\n")
    assert metrics(out) == reference.metrics_of(statuses(out))
