"""A package outside ndabench adds an entry to every registry.

`tests/outside/ndabench_toy` uses the public registries alone: YAML → dry run → sweep → Parquet → HTML.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

OUTSIDE = Path(__file__).parent / "outside"
STRIPES = OUTSIDE / "stripes.yaml"


def run(*arguments: str, folder: Path, plugin: bool = True) -> subprocess.CompletedProcess[str]:
    paths = [str(OUTSIDE)] if plugin else []
    paths += [path for path in (os.environ.get("PYTHONPATH"), str(OUTSIDE.parents[1])) if path]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "NDABENCH_CACHE": str(folder / "cache"),
    }
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_a_dry_run_plans_it(tmp_path: Path) -> None:
    done = run("ndabench.sweep", str(STRIPES), "--dry-run", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "stripes: 2 trials" in done.stdout
    assert "toy_upside_down(share=0.5)" in done.stdout
    assert f"total work: {2 * 12 * 8} images" in done.stdout


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("pull", ["× toy_spread", "toy_upside_down", f"total work: {2 * 3 * 4 * 8} images"]),
        ("perceptrons", ["2 trials", "toy_upside_down", f"total work: {2 * 2 * 4 * 8} images"]),
    ],
)
def test_its_parts_go_into_the_tasks_of_ndabench(tmp_path: Path, file: str, shown: list[str]) -> None:
    done = run("ndabench.sweep", str(OUTSIDE / f"{file}.yaml"), "--dry-run", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(text in done.stdout for text in shown), done.stdout


@pytest.mark.slow
def test_a_sweep_over_it_ends_in_parquet_and_html(tmp_path: Path) -> None:
    done = run("ndabench.sweep", str(STRIPES), "--out", "out", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = pd.read_parquet(tmp_path / "out/trials")
    assert set(trials.status) == {"finished"}
    assert sorted(zip(trials.arm, trials.negative, trials["lambda"], strict=True)) == [
        ("none", "", 0.0),
        ("toy_upside_down(share=0.5)", "toy_upside_down(share=0.5)", 0.5),
    ]
    assert set(trials.task) == {"toy_gaussian"}
    metrics = pd.read_parquet(tmp_path / "out/metrics")
    measured = metrics[metrics.kind == "metric"]
    test = measured[measured.split == "test"]
    assert set(test.metric) == {"fd_toy_pixels", "toy_brightness"}
    assert set(test.step) == {12}
    assert set(measured[measured.split == "validation"].step) == {0, 6, 12}
    protocol = json.loads(measured[measured.metric == "fd_toy_pixels"].protocol_json.iloc[0])
    assert (protocol["extractor"], protocol["resize"]) == ("toy_pixels", "averaged to 4×4")
    for trial in trials.trial_id:
        *steps, end = (tmp_path / f"out/lines/{trial}.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in steps] == [0, 4, 6, 8, 12]
        assert json.loads(end) == {"status": "finished"}
    report = (tmp_path / "out/report.html").read_text()
    for shown in ("fd_toy_pixels", "toy_brightness", "toy_upside_down", "toy_stripes"):
        assert shown in report, shown
    # The records can be reported where the package is not installed.
    (tmp_path / "out/report.html").unlink()
    again = run("ndabench.report", "out", folder=tmp_path, plugin=False)
    assert again.returncode == 0, again.stderr
    assert "toy_brightness" in (tmp_path / "out/report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"plugins": ["ndabench_toi"]}, "plugins: 'ndabench_toi' cannot be imported"),
        ({"plugins": []}, "task.name: unknown name 'toy_gaussian'"),
        (
            {"task": {"name": "toy_gaussian", "num_step": 3}},
            "unknown key 'task.num_step'; did you mean 'num_steps'?",
        ),
        ({"arms": ["toy_upside_up"]}, "unknown negative 'toy_upside_up'; did you mean 'toy_upside_down'?"),
        (
            {"arms": [{"negative": {"name": "toy_upside_down", "share": 2}}]},
            "toy_upside_down: share must",
        ),
        ({"evaluate": [{"name": "fd", "extractor": "toy_pixel"}]}, "toy_pixels"),
        ({"evaluate": ["knn"]}, "evaluate: task toy_gaussian: unknown evaluation 'knn'"),
        ({"data": "moving_digits"}, "data: task toy_gaussian learns from images; moving_digits holds videos"),
        ({"search": {"lambda": [11]}}, "search: lambda must lie in [0, 10], got 11"),
        (
            {"budget": "compute"},
            "task toy_gaussian does not say how many images a step judges; take budget: steps",
        ),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, changes: dict, line: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(STRIPES.read_text()), **changes}))
    done = run("ndabench.sweep", str(file), "--dry-run", folder=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert line in done.stderr
