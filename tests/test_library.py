"""ndabench as a library: what `import ndabench` costs, and that results are those of the report."""

import importlib
import math
import shutil
import subprocess
import sys
import types
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ndabench
from ndabench import Results, UserError
from ndabench.lazy_names import lazy_names
from ndabench.planning.sweep_file import sweep_from
from ndabench.records import RecordStore
from ndabench.reporting.comparison import comparisons
from ndabench.reporting.frames import load as load_frames
from ndabench.reporting.tables import comparison_table
from tests.command_lines import TINY
from tests.recorded_sweep import record

ENCODERS = {
    **TINY,
    "task": {"name": "image_contrastive", "encoder": {"name": "resnet", "width": 4}, "batch_size": 8}
    | {"num_steps": 1, "method": {"name": "moco", "queue_size": 16, "batch_norm_splits": 1}},
    "data": {"name": "digits", "image_size": 8},
    "arms": ["none"],
}


@pytest.fixture
def results(quickstart: Path) -> Results:
    return ndabench.load(quickstart)


def test_the_import_is_light_and_the_sweep_stays_a_module() -> None:
    code = (
        "import sys; before = set(sys.modules); import ndabench; new = set(sys.modules) - before;"
        "heavy = {'torch', 'pandas', 'numpy', 'pydantic', 'ray', 'typer', 'yaml'} & new;"
        "assert not heavy, heavy; assert len(new) < 40, new"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert dir(ndabench) == ndabench.__all__
    assert importlib.import_module("ndabench.sweep") is ndabench.sweep
    assert isinstance(ndabench.sweep, types.ModuleType)


@pytest.mark.parametrize("package", [ndabench, ndabench.losses, ndabench.metrics, ndabench.negatives])
def test_public_names_are_documented(package: types.ModuleType) -> None:
    for name in package.__all__:
        assert name == "__version__" or getattr(package, name).__doc__, name


def test_a_former_name_works_and_warns() -> None:
    find = lazy_names("ndabench", {"load": "ndabench.results"}, former={"open": "load"})
    with pytest.warns(DeprecationWarning, match=r"ndabench\.open is called ndabench\.load now"):
        assert find("open") is ndabench.load
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find("load") is ndabench.load
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        find("lode")


def test_a_name_that_acts_is_refused() -> None:
    with pytest.raises(UserError, match=r"^sweep: arms\.1\.name: 'a\\x1b\[2J' contains a control character"):
        sweep_from({**TINY, "arms": ["none", {"name": "a\x1b[2J", "negative": "jigsaw"}]}, {})


@pytest.mark.slow
def test_comparisons_are_the_tables_of_the_report(results: Results) -> None:
    frames = load_frames(RecordStore(results.folder))
    compared = comparisons(frames)
    assert {one.name for one in compared} >= {"fd_classifier", "val_fd_classifier"}
    for one in compared:
        (table,) = [comparison_table(one, 1, [one], name_group=False)]
        rows = results.compare(one.name)
        names = [column.name for column in table.columns]
        for (_, row), cells in zip(rows.iterrows(), table.rows, strict=True):
            shown = dict(zip(names, cells, strict=True))
            assert (row["arm"], row["n"]) == (shown["arm"].sort, shown["n"].sort)
            assert row["mean"] == shown["mean ± 95 %"].sort
            assert row["low"] <= row["mean"] <= row["high"]
            if shown[f"difference from {one.baseline_label}"].text != "baseline":
                assert row["difference"] == shown[f"difference from {one.baseline_label}"].sort
                assert row["difference_low"] < row["difference"] < row["difference_high"]
                if not one.on_validation:
                    assert row["p_adjusted"] == shown["p"].sort
    assert set(results.compare()["metric"]) == {one.name for one in compared if not one.on_validation}
    assert results.compare("fd_classifier")["lambda"].dropna().tolist() == [0.5]


@pytest.mark.slow
def test_frames_hold_what_is_recorded(results: Results) -> None:
    assert results.trials["status"].tolist() == ["finished"] * 4
    values = results.metrics
    assert set(values["arm"]) == {"none", "jigsaw"}
    final = values[(values["name"] == "val_fd_classifier") & (values["step"] == 4)].set_index("trial_id")
    assert results.best() == final["value"].idxmin()
    of_arm = final.loc[final["arm"] == "none", "value"]
    assert results.best("fd_classifier", arm="none") == of_arm.idxmin()
    curves = results.curves("loss_generator")
    assert curves.loc[curves["arm"] == "none", "step"].tolist() == [2, 4]
    assert set(curves["n"]) == {2}
    own = values[(values["name"] == "loss_generator") & (values["arm"] == "none") & (values["step"] == 2)]
    assert math.isclose(curves.loc[curves["arm"] == "none", "mean"].iloc[0], own["value"].mean())
    del results.trials["arm"]
    assert "arm" in results.trials


@pytest.mark.slow
def test_networks_are_those_that_were_measured(results: Results) -> None:
    best = results.best()
    images = results.samples(best, 4)
    assert (images.shape, images.dtype) == ((4, 1, 16, 16), torch.uint8)
    generator = results.generator(best)
    assert not generator.training
    made = generator(torch.randn(3, 8), torch.zeros(3, dtype=torch.long))
    assert made.shape == (3, 1, 16, 16)
    assert made.abs().max() <= 1
    with pytest.raises(UserError, match="task gan trains no encoder"):
        results.encoder(best)
    with pytest.raises(UserError, match="has no trial 'jigsaw-0'"):
        results.generator("jigsaw-0")


@pytest.mark.slow
def test_an_encoder_is_rebuilt(tmp_path: Path) -> None:
    store = record(tmp_path / "encoders", ENCODERS)
    results = ndabench.load(store.root)
    (trial,) = results.trials.index
    encoder = results.encoder(trial)
    assert not encoder.training
    assert encoder(torch.zeros(2, 1, 8, 8)).shape == (2, 32)
    with pytest.raises(UserError, match="task image_contrastive trains no generator"):
        results.generator(trial)
    with pytest.raises(UserError, match="nothing has been measured"):
        results.best()


@pytest.mark.slow
def test_a_notebook_sees_the_findings_and_no_markup_of_others(results: Results, tmp_path: Path) -> None:
    assert repr(results).endswith("4 finished; arms none, jigsaw")
    page = results._repr_html_()
    assert "fd_classifier" in page
    assert all(word in page for word in ("<table>", "mean ± 95 %", "jigsaw"))
    copied = shutil.copytree(results.folder, tmp_path / "copied")
    store = RecordStore(str(copied))
    row = store.read_trial(results.best())
    assert row is not None
    store.write_trial(replace(row, trial_id="x", arm="<script>alert(1)</script>"))
    shown = ndabench.load(copied)._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.slow
def test_unknown_names_are_one_line(results: Results) -> None:
    for ask in (results.compare, results.best, results.curves):
        with pytest.raises(UserError, match=r"unknown .*metric 'fd_clasifier'; did you mean"):
            ask("fd_clasifier")
    with pytest.raises(UserError, match="unknown arm 'jigsow'; did you mean 'jigsaw'"):
        results.best(arm="jigsow")


def test_a_folder_without_records_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no records here; give the folder of a sweep"):
        ndabench.load(tmp_path)


def test_a_sweep_is_a_file_a_mapping_or_its_configuration(tmp_path: Path) -> None:
    config = sweep_from(TINY, {"task.num_steps": 7, "seeds": [3]})
    assert (config.task.num_steps, config.seeds) == (7, (3,))
    assert sweep_from(config, {}) is config
    assert sweep_from(config, {"seeds": [0]}).seeds == (0,)
    assert sweep_from("quickstart", {}) == sweep_from(Path("sweeps/quickstart.yaml"), {})
    with pytest.raises(UserError, match=r"^sweep: unknown key 'task.num_step'; did you mean 'num_steps'"):
        sweep_from(TINY, {"task.num_step": 7})
    with pytest.raises(UserError, match="the key above 'x' does not hold a mapping"):
        ndabench.run_sweep(TINY, change={"name.x": 1}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
