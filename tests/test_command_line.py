"""The commands say what they can do, quickly, and every sweep file that comes with ndabench is sound."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ndabench import cli
from ndabench.clean import clean
from ndabench.command_line import run
from ndabench.compare import compare
from ndabench.doctor import doctor
from ndabench.errors import UserError
from ndabench.evaluate import evaluate
from ndabench.export import export
from ndabench.export_networks import export_networks
from ndabench.import_records import import_records
from ndabench.init import init
from ndabench.pack import pack
from ndabench.paper import paper
from ndabench.planning.sweep_file import read_sweep
from ndabench.preview import preview
from ndabench.report import report
from ndabench.rerun import rerun
from ndabench.samples import samples
from ndabench.sweep import sweep
from ndabench.train import train
from tests.command_lines import CommandLine

ROOT = Path(__file__).parent.parent
SWEEP_FILES = sorted((ROOT / "sweeps").rglob("*.yaml"))
OPTIONS: dict[Callable[..., None], list[str]] = {
    sweep: [
        "FILE",
        "--set",
        "--out",
        "--resume",
        "--dry-run",
        "--check",
        "--no-check",
        "--address",
        "--quiet",
        "--json",
    ],
    train: ["FILE", "--set", "--arm", "--lambda", "--seed", "--out", "--resume"],
    report: ["FOLDER"],
    evaluate: ["FOLDER", "--set", "--trial", "--again", "--dry-run", "--address", "--quiet", "--json"],
    preview: ["FILE", "--set", "--out", "--images", "--seed"],
    import_records: ["FILES", "--out"],
    samples: ["TRIAL", "--out", "--num"],
    compare: ["DIR DIR…", "--out"],
    pack: ["FOLDER", "--out"],
    rerun: ["PACK", "--cell", "--set", "--out"],
    clean: ["FOLDER", "--checkpoints", "--dry-run", "--quiet", "--json"],
    paper: ["TABLE"],
    doctor: ["--out", "--json", "--no-ray"],
    init: ["FOLDER", "--task", "--negatives", "--size", "--seeds", "--out"],
    export: ["DIR…", "--format", "--metric", "--split", "--out"],
    export_networks: ["TRIAL", "--out", "--license"],
}


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """What a program prints when it is run in this process with these arguments, and succeeds."""
    monkeypatch.setenv("COLUMNS", "200")

    def run_it(program: Callable[[], None], *arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["ndabench", *arguments])
        with pytest.raises(SystemExit) as caught:
            program()
        assert caught.value.code in (None, 0)
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return run_it


def _name(command: Callable[..., None]) -> str:
    return command.__name__.replace("_", "-")


def test_the_console_script_lists_its_commands(output: Callable[..., str]) -> None:
    text = output(cli.main, "--help")
    for command in OPTIONS:
        assert _name(command) in text
        assert str(command.__doc__).splitlines()[0] in text


@pytest.mark.parametrize("command", OPTIONS, ids=lambda command: command.__name__)
def test_help_lists_every_option(output: Callable[..., str], command: Callable[..., None]) -> None:
    alone = output(lambda: run(command), "--help")
    joined = output(cli.main, _name(command), "--help")
    for option in OPTIONS[command]:
        assert option.lower() in alone.lower()
        assert option.lower() in joined.lower()


@pytest.mark.parametrize("command", OPTIONS, ids=lambda command: command.__name__)
def test_help_does_not_wait_for_torch(command: Callable[..., None]) -> None:
    code = (
        f"import sys, ndabench.{command.__name__} as m\n"
        f"heavy = {{'torch', 'ray', 'pandas', 'pyarrow', 'pydantic'}} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert time.monotonic() - started < 3


def test_there_are_sweep_files() -> None:
    names = {str(file.relative_to(ROOT / "sweeps")) for file in SWEEP_FILES}
    local = ["quickstart", "quickstart_contrastive", "cifar10_local", "cifar10_contrastive_local"]
    assert names >= {f"{name}.yaml" for name in local}


@pytest.mark.parametrize("file", SWEEP_FILES, ids=lambda file: file.stem)
def test_every_sweep_file_can_be_planned(
    output: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: Path
) -> None:
    monkeypatch.setenv("NDABENCH_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    text = output(lambda: run(sweep), str(file), "--dry-run")
    assert f"{file.stem}: " in text
    assert "each trial requests " in text
    assert "total work: " in text
    for line in text.splitlines():
        assert not line.startswith("caution: ") or line.endswith(" does not exist on this machine")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("search", "lines", "trials"),
    [
        (
            {"lambda": [0.25, 0.5]},
            [["3", "none", "", "", "0, 1, 2"], *(["3", "jigsaw", x, "", "0, 1, 2"] for x in ("0.25", "0.5"))],
            9,
        ),
        (
            {"lambda": {"uniform": [0.1, 0.9]}, "sampler": "tpe", "trials_per_arm": 5, "seed": 7},
            [
                ["3 × the best", "none", "", "", "0, 1, 2"],
                ["5 × tpe", "jigsaw", "", "lambda", "7"],
                ["3 × the best", "jigsaw", "", "", "0, 1, 2"],
            ],
            11,
        ),
    ],
    ids=["grid", "search"],
)
def test_a_dry_run_has_a_line_for_each_setting_of_an_arm(
    output: Callable[..., str],
    command_line: CommandLine,
    search: dict[str, Any],
    lines: list[list[str]],
    trials: int,
) -> None:
    file = command_line.file(
        search=search, seeds=[0, 1, 2], evaluate=["fd"], objective={"metric": "fd_classifier"}
    )
    text = output(lambda: run(sweep), file, "--dry-run")
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line
    ]
    each = read_sweep(Path(file), []).task.num_images
    assert rows == [[*line, str(each)] for line in lines]
    assert f"tiny: {trials} trials" in text
    assert f"total work: {trials * each} images" in text


def test_a_program_reads_one_object_and_a_quiet_command_says_nothing(
    output: Callable[..., str], command_line: CommandLine
) -> None:
    file = command_line.file(seeds=[0, 1])
    planned = json.loads(output(lambda: run(sweep), file, "--dry-run", "--json"))
    config = read_sweep(Path(file), [])
    assert (planned["sweep"], planned["trials"], planned["arms"]) == ("tiny", 4, ["none", "jigsaw"])
    assert planned["total_work"] == 4 * config.task.num_images
    assert planned["each_requests"] == {"CPU": 1}
    assert [line.partition(",")[0] for line in planned["cautions"]] == ["nothing is measured"]
    assert output(lambda: run(sweep), file, "--dry-run", "--quiet") == ""
    listed = json.loads(output(cli.main, "list", "--json"))
    assert "jigsaw" in listed["negatives"]
    assert json.loads(output(cli.main, "list", "samplers", "--json"))["random"].startswith("Random settings")
    assert "--json: goes with a whole sweep" in command_line.error(sweep, file, "--check", "--json")


@pytest.mark.parametrize(("flags", "checked"), [([], True), (["--no-check"], False)])
def test_no_check_starts_without_trying_steps(
    flags: list[str], checked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep is stopped where it would begin to prepare."""
    from ndabench.orchestration import cluster, head_watchdog
    from ndabench.orchestration import run as running

    class ReachedError(Exception):
        pass

    def reached(*_: object, check: bool, **__: object) -> None:
        raise ReachedError(check)

    monkeypatch.setattr(running, "run_sweep", reached)
    monkeypatch.setattr(cluster, "connect", lambda *_: contextlib.nullcontext(True))
    monkeypatch.setattr(head_watchdog, "head_watchdog", lambda stop: contextlib.nullcontext())
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["ndabench", "--out", str(tmp_path / "out"), *flags])
    with pytest.raises(ReachedError) as raised:
        run(sweep)
    assert raised.value.args == (checked,)


def test_a_long_moving_average_is_said_before_anything_runs(
    command_line: CommandLine,
    output: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """In one line, at a dry run, a check and both starts; each is stopped where it would begin to work."""
    from ndabench import sweep as sweeping
    from ndabench import train as training
    from ndabench.orchestration import cluster

    def stopped(*_: object, **__: object) -> None:
        raise UserError("stopped here")

    file = command_line.file(task={"name": "gan", "num_steps": 200, "ema": {"decay": 0.99}})
    line = "caution: task.ema: the moving average is 100 steps long and the training 200;"
    assert output(lambda: run(sweep), file, "--dry-run").count(line) == 1
    for module, name in ((cluster, "connect"), (sweeping, "_run_and_report"), (training, "take")):
        monkeypatch.setattr(module, name, stopped)
    out = str(command_line.out)
    for command, *flags in ((sweep, "--check"), (sweep, "--out", out), (train, "--out", out)):
        monkeypatch.setattr(sys, "argv", ["ndabench", file, *flags])
        with pytest.raises(SystemExit):
            run(command)
        printed = capsys.readouterr()
        assert printed.out.count(line) == 1, (flags, printed)
        assert printed.err == "error: stopped here\n"


def test_a_shell_completes_commands_and_options() -> None:
    """As bash asks: by variables, of the program's own name."""
    code = "import sys; sys.argv = ['ndabench']; from ndabench.cli import main; main()"
    for words, found in (("ndabench comp", "compare"), ("ndabench export --fo", "--format")):
        asked = {
            "_NDABENCH_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        answer = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, **asked},
            capture_output=True,
            text=True,
        )
        assert answer.stdout.split() == [found], answer.stderr
