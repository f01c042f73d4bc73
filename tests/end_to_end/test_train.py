"""One trial without Ray: alone, killed and resumed, under torchrun; a sweep then finds it done."""

import os
from pathlib import Path

import pytest
from driving import Bench, Reference, metrics, statuses, times_written, tiny, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NO_RAY = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "optuna"):
            raise ModuleNotFoundError(f"No module named {name!r}: it is not installed here", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.fixture
def without_ray(bench: Bench) -> Bench:
    """The same folder, with a Python that has neither ray nor optuna."""
    site = bench.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(NO_RAY)
    path = os.pathsep.join(filter(None, [str(site), bench.environment.get("PYTHONPATH", "")]))
    return Bench(bench.folder, {**bench.environment, "PYTHONPATH": path})


def of_trial(values: dict, trial_id: str) -> dict:
    return {key: value for key, value in values.items() if key[0] == trial_id}


def first_steps(values: dict) -> dict:
    return {key: value for key, value in values.items() if key[1] <= 8}


def some_but_not_all(checkpoints: Path, last: int) -> bool:
    return checkpoints.is_dir() and any(int(file.stem) < last for file in checkpoints.glob("*.pt"))


def test_a_killed_trial_continues_and_a_sweep_finds_it_done(
    bench: Bench, without_ray: Bench, reference: Reference
) -> None:
    file, out = bench.file(arms=["jigsaw"]), bench.folder / "out"
    (trial,) = (t.trial_id for t in tiny().grid_trials() if t.arm == "jigsaw" and t.seed == 1)
    options = [file, "--arm", "jigsaw", "--seed", "1", "--out", str(out)]
    assert without_ray.sweep(*options[:1], "--out", str(out)).code == 1, "a sweep does need ray"
    assert not out.exists()

    command = without_ray.start("ndabench.train", *options)
    try:
        wait_until(
            lambda: some_but_not_all(out / "checkpoints" / trial, 24) or not command.running, "a checkpoint"
        )
    finally:
        command.kill()
    assert statuses(out) == {trial: "running"}
    resumed = without_ray.run("ndabench.train", *options, "--resume")
    assert (resumed.code, resumed.stderr) == (0, "")
    assert "jigsaw λ=0.5 seed 1: step 24/24 " in resumed.stdout
    assert "step 0/24" not in resumed.stdout
    assert resumed.stdout.endswith(f"records  {out}   ({trial})\n")
    assert metrics(out) == of_trial(metrics(reference.out), trial)

    before = times_written(out, {trial})
    sweep = bench.sweep(file, "--out", str(out), "--resume")
    assert (sweep.code, sweep.stderr) == (0, "")
    assert "2 trials, 1 of them done" in sweep.stdout
    assert times_written(out, {trial}) == before
    expected = {key: value for key, value in metrics(reference.out).items() if key[0].startswith("jigsaw")}
    assert metrics(out) == expected


def test_two_workers_under_torchrun(without_ray: Bench, reference: Reference) -> None:
    out = without_ray.folder / "out"
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = without_ray.run(*torchrun, "-m", "ndabench.train", without_ray.file(), "--out", str(out))
    assert ended.code == 0, ended.stderr
    (trial,) = statuses(out)
    assert statuses(out) == {trial: "finished"}
    assert ended.stdout.count("step 22/24") == 1, "one of the two workers speaks"
    shared, alone = metrics(out), of_trial(metrics(reference.out), trial)
    assert shared.keys() == alone.keys()
    # Adam takes steps of one size however small a gradient, so that rounding errors grow quickly.
    assert first_steps(shared) == pytest.approx(first_steps(alone), rel=0.02, abs=0.02)
