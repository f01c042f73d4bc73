"""A pack holds what an appendix needs, and one of its cells trained again gives its values to the bit."""

import contextlib
import io
import json
import shutil
import zipfile
from functools import partial
from pathlib import Path

import pytest
import torch

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.pack import LOCK, pack
from ndabench.records import RecordStore
from ndabench.records.pack_file import MANIFEST, unpack, write_pack
from ndabench.rerun import _compared, rerun
from tests.command_lines import CommandLine
from tests.two_workers import on_two_workers


@pytest.fixture(scope="module")
def packed(quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    copied = shutil.copytree(quickstart, folder / "quickstart")
    pack(str(copied), folder / "appendix.zip")
    return folder / "appendix.zip"


@pytest.mark.slow
def test_a_pack_holds_file_versions_hashes_records_and_cards(packed: Path, tmp_path: Path) -> None:
    facts = unpack(packed, tmp_path)
    store = RecordStore(str(tmp_path))
    rows = store.read_trials().to_pylist()
    assert len(rows) == 4
    assert facts["data"] == [{"name": "digits", "content_hash": rows[0]["dataset_hash"]}]
    assert f"torch=={torch.__version__.partition('+')[0]}" in (tmp_path / LOCK).read_text()
    assert all("fd_classifier" in (tmp_path / f"cards/{row['trial_id']}.md").read_text() for row in rows)
    assert {"sweep.yaml", "plan.yaml", "report.html"} <= {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
def test_a_cell_trained_again_is_equal_to_the_bit(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    rerun(packed, "jigsaw,1", out=str(tmp_path / "again"), json_=True)
    (line,) = capsys.readouterr().out.splitlines()
    facts = json.loads(line)
    value = RecordStore(str(tmp_path / "again")).read_metrics(name="fd_classifier").to_pylist()[-1]["value"]
    assert facts["equal"]
    assert facts["records"] == str(tmp_path / "again")
    equal = {"name": "fd_classifier", "verdict": "equal", "was": value, "now": value, "deviations": None}
    assert equal in facts["values"]
    assert [one["verdict"] for one in facts["values"]] == ["equal"] * 3


def rerun_and_listen(pack: Path, out: Path, workers: Workers) -> str:
    """What a worker prints that trains a cell again; the workers of torchrun know each other already."""
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        rerun(pack, "none,1", out=str(out))
    return said.getvalue()


@pytest.mark.slow
def test_of_several_workers_only_the_main_one_prints_the_comparison(packed: Path, tmp_path: Path) -> None:
    main, other = on_two_workers(partial(rerun_and_listen, packed, tmp_path / "again"), tmp_path)
    assert "3 values" in main.splitlines()[-1]
    assert (
        "caution: it was trained on 1 × cpu; only on one CPU worker is a repetition equal to the bit" in main
    )
    assert other == ""
    (row,) = RecordStore(str(tmp_path / "again")).trial_rows()
    assert (row.status, row.device) == ("finished", "2 × cpu")


@pytest.mark.slow
def test_another_value_is_told_with_its_size(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A packed value that the trial never gave is found out."""
    unpack(packed, tmp_path / "pack")
    store = RecordStore(str(tmp_path / "pack"))
    trial = next(row for row in store.read_trials().to_pylist() if (row["arm"], row["seed"]) == ("none", 0))
    table = store._table("metrics")
    rows = table.read_trial(trial["trial_id"]).to_pylist()
    for row in rows:
        if (row["metric"], row["split"], row["step"]) == ("fd_classifier", "test", 4):
            row["value"] += 1.0
    table.write(trial["trial_id"], rows)
    names = [path for path in (tmp_path / "pack").rglob("*") if path.is_file()]
    files = {str(path.relative_to(tmp_path / "pack")): path.read_bytes() for path in names}
    write_pack(tmp_path / "other.zip", files, {})
    with pytest.raises(SystemExit, match="1"):
        rerun(tmp_path / "other.zip", "none,0", out=str(tmp_path / "again"))
    said = capsys.readouterr().out
    assert "equal    val_fd_classifier: " in said
    assert "now " in said
    assert "(-1, 0." in said
    assert "not equal, 2 of 3 values" in said


@pytest.mark.slow
def test_what_cannot_be_repeated_is_one_line(packed: Path, command_line: CommandLine) -> None:
    def error(*arguments: str) -> str:
        return command_line.error(rerun, *arguments, "--out", str(command_line.out))

    one = str(packed)
    assert "no finished trial 'jigsaw,7' (known: jigsaw,0, jigsaw,1, none,0, none,1)" in error(
        one, "--cell", "jigsaw,7"
    )
    assert "makes jigsaw-" in error(one, "--cell", "jigsaw,1", "--set", "task.num_steps=9")
    assert "no such file" in error("missing.zip", "--cell", "none,0").lower()
    assert "no pack of `ndabench pack`" in error(command_line.file(), "--cell", "none,0")


def _zip(path: Path, files: dict[str, bytes], sums: dict[str, str], version: int = 1) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, json.dumps({"pack": version, "files": sums}))
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_pack_that_is_not_as_it_was_packed_is_refused(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.zip", tmp_path / "opened"
    write_pack(path, {"a/b.txt": b"one"}, {"sweep": "tiny"})
    first = path.read_bytes()
    write_pack(path, {"a/b.txt": b"one"}, {"sweep": "tiny"})
    assert path.read_bytes() == first
    facts = unpack(path, folder)
    assert (facts["sweep"], (folder / "a/b.txt").read_bytes()) == ("tiny", b"one")
    (digest,) = facts["files"].values()
    cases = {
        "is not as it was packed": _zip(tmp_path / "1.zip", {"a": b"two"}, {"a": digest}),
        "not in both": _zip(tmp_path / "2.zip", {"a": b"one", "b": b""}, {"a": digest}),
        "names a file '../a'": _zip(tmp_path / "3.zip", {"../a": b"one"}, {"../a": digest}),
        "written by another ndabench": _zip(tmp_path / "4.zip", {}, {}, version=2),
    }
    for message, damaged in cases.items():
        with pytest.raises(UserError, match=message):
            unpack(damaged, tmp_path / damaged.stem)
    assert not (tmp_path / "a").exists()


def test_values_are_compared_with_their_protocol_and_as_json_without_nan() -> None:
    nan = float("nan")
    wanted = {"a": (1.0, "p"), "b": (nan, "p"), "c": (2.0, "p"), "d": (3.0, "p"), "e": (4.0, "p")}
    found = {"a": (1.5, "p"), "b": (nan, "p"), "c": (2.0, "q"), "e": (4.0, "p")}
    values = {one.name: one for one in _compared(wanted, found, {"a": 0.25})}
    verdicts = ["differs", "equal", "other protocol", "missing", "equal"]
    assert [one.verdict for one in values.values()] == verdicts
    assert values["a"].deviations == 2.0
    assert str(values["a"]) == "differs  a: was 1, now 1.5 (+0.5, 2 of the deviation between seeds)"
    assert str(values["c"]) == "differs  c: was 2, now 2, under another protocol"
    assert str(values["d"]) == "missing  d: was 3"
    plain = {"name": "b", "verdict": "equal", "was": None, "now": None, "deviations": None}
    assert values["b"].plain() == plain
