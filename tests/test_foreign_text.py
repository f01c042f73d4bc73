"""Text from outside as errors, terminals and logs show it."""

import io
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from ndabench.command_line import results_folder
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.foreign_text import MOST_SHOWN, acting_character, escaped, has_secret, shown, without_secrets
from ndabench.models.weights import load_encoder_weights
from ndabench.planning.sweep_file import sweep_from
from ndabench.records import RecordStore
from ndabench.sweep import sweep
from ndabench.trials.config import Provenance
from ndabench.trials.run import prepare, run_trial
from tests.command_lines import TINY, CommandLine


def test_what_acts_is_escaped_and_what_is_seen_stays() -> None:
    assert escaped("λ … é 中 [b]") == "λ … é 中 [b]"
    assert escaped("a\x1b[2J\n\u202e\0\ud800") == r"a\x1b[2J\n\u202e\x00\ud800"
    assert acting_character("λ") is None
    assert acting_character("a\tb") == "\t"


def test_a_value_is_shown_short_and_without_secrets() -> None:
    assert shown("a" * 5000).startswith("'aaa")
    assert len(shown("a" * 5000)) == len(shown(list(range(10**5)))) == MOST_SHOWN
    assert shown("http://u:S@h/x") == "'http://***@h/x'"


@pytest.mark.parametrize(
    ("uri", "safe"),
    [
        ("gs://tok:S@bucket/x", "gs://***@bucket/x"),
        ("hdfs://u:S@host/x", "hdfs://***@host/x"),
        ("s3://b/x?region=eu&secret_key=S", "s3://b/x?region=eu&secret_key=***"),
        ("s3://b/x?access_key=A&endpoint_override=h", "s3://b/x?access_key=***&endpoint_override=h"),
        ("postgresql://u:S@h/db?sslmode=require", "postgresql://***@h/db?sslmode=require"),
        ("s3://bucket/x?region=eu", "s3://bucket/x?region=eu"),
        (
            "abfs://c@a.dfs.core.windows.net/x?sv=1&sig=S%3D&se=2",
            "abfs://***@a.dfs.core.windows.net/x?sv=1&sig=***&se=2",
        ),
        ("https://a/x?SIG=S", "https://a/x?SIG=***"),
        ("s3://b/x?design=a&signed=1", "s3://b/x?design=a&signed=1"),
        ("/tmp/q?a@b", "/tmp/q?a@b"),
    ],
)
def test_secrets_of_a_uri_are_masked(uri: str, safe: str) -> None:
    assert without_secrets(uri) == safe
    assert has_secret(uri) == (uri != safe)


@pytest.mark.parametrize(
    ("out", "line"),
    [
        ("--dry-run", "--out: needs a folder or a URI, got '--dry-run'"),
        ("", "--out: needs a folder or a URI, got ''"),
        ("a\x1b[2J", r"--out: needs a folder or a URI, got 'a\x1b[2J'"),
        ("~nobody-here/x", "~nobody-here/x: no user has the home folder ~nobody-here"),
        ("s3:/bucket/x", "s3: has two slashes after it in a URI; did you mean s3://bucket/x?"),
        ("S3:bucket/x", "S3: has two slashes after it in a URI; did you mean s3://bucket/x?"),
        ("gs:/tok:S@bucket/x", "gs: has two slashes after it in a URI; did you mean gs://***@bucket/x?"),
        ("s3://", "s3://: names no bucket or host; it must look like s3://bucket/folder"),
        ("gs://tok:S@bucket/x", "gs://***@bucket/x: a URI with a secret in it would appear in logs"),
        ("hdfs://u:S@host/x", "hdfs://***@host/x: a URI with a secret in it"),
        ("s3://bucket/x?secret_key=hunter2", "s3://bucket/x?secret_key=***: a URI with a secret in it"),
        ("nonsense://x", "nonsense://x: cannot be opened ("),
        ("http://[x", "http://[x: is no URI ("),
    ],
)
def test_a_wrong_out_is_one_line_without_its_secret(out: str, line: str) -> None:
    with pytest.raises(UserError) as raised:
        RecordStore(results_folder(out, "s"))
    said = str(raised.value)
    assert said.startswith(line), said
    assert "S@" not in said
    assert "hunter2" not in said
    assert said.isprintable()


def test_the_log_shows_names_of_files_as_a_terminal_may(command_line: CommandLine) -> None:
    def speak() -> None:
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logging.getLogger("ndabench.records").exception("a\x1b[2J\n: %s", "gs://tok:S@bucket")

    code, said = command_line(speak)
    first, second, *trace = said.splitlines()
    assert (code, first) == (0, r"a\x1b[2J\n: gs://***@bucket")
    assert second.startswith("Traceback")
    assert trace[-1] == "lines"


def test_names_of_folders_are_escaped_in_what_is_printed_and_noted(
    command_line: CommandLine, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NDABENCH_CACHE", str(command_line.folder / "cache"))
    for folder in ("train/a\x1b[2J", "train/b", "test/b", "more\x1b[2J/b"):
        path = command_line.folder / "set" / folder
        path.mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (16, 16), (30 * number, 9, len(folder))).save(path / f"{number}.png")
    data = {"name": "image_folder", "path": str(command_line.folder / "set"), "validation_fraction": 0.5}
    config = sweep_from({**TINY, "data": data, "arms": ["none"]}, {})
    prepared = prepare(config.grid_trials(), torch.device("cpu"), check=False)
    assert prepared.counts.endswith(r"; no test images of a\x1b[2J")
    store = RecordStore(str(command_line.out))
    for _ in run_trial(config.grid_trials()[0], store, Provenance("s"), Workers()):
        pass
    (row,) = store.read_trials().to_pylist()
    assert row["notes"] == r"folders that are not read: more\x1b[2J"


@pytest.mark.parametrize("aborts", [False, True])
def test_an_azure_uri_without_a_login_is_one_line(
    aborts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some versions of Azure's library abort the process that asks, so a child asks first."""
    for key in [key for key in os.environ if key.startswith("AZURE_")]:
        monkeypatch.delenv(key)
    if aborts:
        aborting = tmp_path / "python"
        aborting.write_text("#!/bin/sh\nkill -ABRT $$\n")
        aborting.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(aborting))
    out = f"abfs://container@nobody{aborts:d}.dfs.core.windows.net/x"
    with pytest.raises(UserError) as raised:
        RecordStore(out)
    assert str(raised.value).startswith(f"{out}: cannot be opened (")
    assert "\n" not in str(raised.value)


def test_very_many_trials_are_counted_first_and_asked_for(command_line: CommandLine) -> None:
    search = {
        "learning_rate": [0.001 * (i + 1) for i in range(200)],
        "num_discriminator_steps": [*range(1, 101)],
    }
    file = command_line.file(search=search)
    line = command_line.error(sweep, file, "--dry-run")
    assert line == f"error: {file}: 40,000 trials; say --yes if you mean that many\n"


def test_two_folders_with_a_question_mark_are_two(tmp_path: Path) -> None:
    stores = [RecordStore(str(tmp_path / name)) for name in ("q?a", "q?b")]
    for store in stores:
        store.write_bytes("note", store.root.encode())
        assert Path(store.local_path("note")).read_text() == store.root
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q?a", "q?b"]


def test_a_terminal_that_is_not_utf8_gets_replacements(tmp_path: Path) -> None:
    file = tmp_path / "λ.yaml"
    file.write_text("name: s\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ndabench.sweep", str(file), "--dry-run"],
        capture_output=True,
        env={
            "PYTHONIOENCODING": "ascii",
            "PATH": "",
            "PYTHONPATH": ":".join(sys.path),
            "HOME": str(tmp_path),
        },
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(b"error: ")
    assert b"?.yaml: " in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_table_on_a_terminal_that_is_not_utf8(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(printed, encoding="ascii", write_through=True))
    assert command_line(sweep, command_line.file(), "--dry-run") == (0, "")
    text = printed.getvalue().decode()
    assert re.search(r"\| trials \| arm +\| \? +\| parameters \|", text), text
    assert re.search(r"\| jigsaw \| 0\.25 \|", text), text


def test_a_prefix_of_weights_is_named(tmp_path: Path) -> None:
    from ndabench.models.resnet import ResNet

    encoder = ResNet(depth=18, width=4, stem="cifar", generator=torch.Generator())
    state = {f"module.encoder_q.{name}": tensor for name, tensor in encoder.state_dict().items()}
    torch.save(state, tmp_path / "prefixed.pt")
    with pytest.raises(UserError, match=r"names that begin with 'module.encoder_q.'; save them without"):
        load_encoder_weights(encoder, tmp_path / "prefixed.pt")


def test_what_torch_says_is_cut_and_without_colours(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(nn.Linear(1, 1), buffer)  # a module: weights_only refuses it in a long, coloured text
    (tmp_path / "module.pt").write_bytes(buffer.getvalue())
    with pytest.raises(UserError) as raised:
        load_encoder_weights(nn.Linear(1, 1), tmp_path / "module.pt")
    line = str(raised.value).removeprefix(str(tmp_path))
    assert line.isprintable()
    assert len(line) < 200
