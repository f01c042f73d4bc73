"""The package of `examples/plugin`, which adds an entry to every registry, installed as any other is.

It uses the public registries alone: YAML → dry run → sweep → Parquet → HTML.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ndabench.plugins import code_hash
from tests.registrations import PLUGIN, REGISTRIES

pytestmark = pytest.mark.slow  # pip builds and installs the package first

STRIPES = PLUGIN / "stripes.yaml"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed package; the environment stays as it is."""
    folder = tmp_path_factory.mktemp("plugin")
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    source = shutil.copytree(PLUGIN, folder / "source", ignore=ignored)
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target"]
    command += [str(folder / "installed"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "installed"


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    def run(*arguments: str, plugin: bool = True) -> "subprocess.CompletedProcess[str]":
        paths = [str(installed)] if plugin else []
        paths += [path for path in (os.environ.get("PYTHONPATH"), str(PLUGIN.parents[1])) if path]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "NDABENCH_CACHE": str(tmp_path / "cache"),
        }
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    return run


def test_every_entry_is_listed_with_the_package(run: Run) -> None:
    done = run("ndabench", "list")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("toy_") == len(REGISTRIES)
    assert "caution" not in done.stdout
    assert "(ndabench-toy 0.1)" in " ".join(run("ndabench", "list", "negatives").stdout.split())


def test_a_dry_run_plans_it(run: Run) -> None:
    done = run("ndabench.sweep", str(STRIPES), "--dry-run")
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
def test_its_parts_go_into_the_tasks_of_ndabench(run: Run, file: str, shown: list[str]) -> None:
    done = run("ndabench.sweep", str(PLUGIN / f"{file}.yaml"), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert all(text in done.stdout for text in shown), done.stdout


def test_a_sweep_over_it_ends_in_parquet_and_html(
    run: Run, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("ndabench.sweep", str(STRIPES), "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    trials = pd.read_parquet(tmp_path / "out/trials")
    assert set(trials.status) == {"finished"}
    assert sorted(zip(trials.arm, trials.negative, trials["lambda"], strict=True)) == [
        ("none", "", 0.0),
        ("toy_upside_down(share=0.5)", "toy_upside_down(share=0.5)", 0.5),
    ]
    assert set(trials.task) == {"toy_gaussian"}
    monkeypatch.syspath_prepend(str(installed))
    (plugins,) = trials.plugins_json.unique()
    used = {"version": "0.1", "sha256": code_hash("ndabench_toy")}
    assert json.loads(plugins) == {"ndabench_toy": used}
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
    report = (tmp_path / "out/report.html").read_text().replace("<wbr>", "")
    assert "plugin ndabench_toy" in report
    for shown in ("fd_toy_pixels", "toy_brightness", "toy_upside_down", "toy_stripes"):
        assert shown in report, shown
    # The records can be reported where the package is not installed.
    (tmp_path / "out/report.html").unlink()
    again = run("ndabench.report", "out", plugin=False)
    assert again.returncode == 0, again.stderr
    assert "toy_brightness" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"plugins": ["ndabench_toi"]}, "plugins: 'ndabench_toi' cannot be imported"),
        ({"task": "toy_gausian"}, "task.name: unknown name 'toy_gausian'; did you mean 'toy_gaussian'?"),
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
def test_what_is_wrong_is_one_line(run: Run, tmp_path: Path, changes: dict, line: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(STRIPES.read_text()), **changes}))
    done = run("ndabench.sweep", str(file), "--dry-run")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert line in done.stderr
