"""What a sweep prints, by a clock that the test sets."""

import io
import re

import pytest
from rich.console import Console

from ndabench.command_line import console_of
from ndabench.orchestration.terminal_view import TerminalView
from ndabench.planning.sweep_state import SweepState
from tests.timed_sweep import SWEEP, Clock, result

FIRST, SECOND, *MORE = SWEEP.grid_trials()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> SweepState:
    return SweepState(12, {"finished": 1, "diverged": 1}, clock)


def test_a_log_gets_one_line_a_minute_on_how_far_the_trials_are(state: SweepState, clock: Clock) -> None:
    text = io.StringIO()
    with TerminalView(Console(file=text, width=500), state, "val_fd", clock) as view:
        state.subscribe("the terminal", view.observe)
        for trial in (FIRST, SECOND, *MORE[:8]):
            state.start(trial)
        state.progress(SECOND.trial_id, result(40, objective=3.0))
        state.tick()
        assert text.getvalue() == ""
        clock.now += 61
        state.tick()
        state.tick()
        clock.now += 61
        state.tick()  # nothing has moved
        line = text.getvalue()
        assert line.startswith("[2/12] none seed 0 0%, jigsaw λ=0.5 seed 0 40%, ")
        assert line.endswith(" and 2 more · about 24 min left\n")
        assert line.count("\n") == 1
        state.end(SECOND.trial_id, "finished", seconds=99.6)
        assert (
            text.getvalue()
            .splitlines()[1]
            .startswith(f"[3/12] {SECOND.label}: finished val_fd 3 in 100 s · ")
        )
        assert SECOND.trial_id not in state.running


def test_lines_above_the_bars_of_a_terminal(state: SweepState) -> None:
    text = io.StringIO()
    console = Console(file=text, width=200, force_terminal=True, color_system=None)
    with TerminalView(console, state, "val_fd") as view:
        state.subscribe("the terminal", view.observe)
        for trial in (FIRST, SECOND):
            state.start(trial)
        state.progress(FIRST.trial_id, result(40, objective=3.0))
        state.restart(FIRST.trial_id, "its process was lost")
        state.announce("1 trial is waiting [2 CPU]")
        state.end(FIRST.trial_id, "failed", error="no [x]", notes="a\x1b[2J checkpoint")
        state.interrupt(SECOND.trial_id, recorded=True)
        state.tick()
    printed = text.getvalue()
    assert f"{FIRST.label}: its process was lost\n" in printed
    assert "1 trial is waiting [2 CPU]\n" in printed
    assert f"[3/12] {FIRST.label}: failed val_fd 3 (no [x]) (a\\x1b[2J checkpoint) · about " in printed
    assert SECOND.label not in printed.splitlines()[-1]


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color_is_obeyed(
    state: SweepState, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_color: str
) -> None:
    for name, value in {"NO_COLOR": no_color, "FORCE_COLOR": "1", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    with TerminalView(console_of(quiet=False), state, "val_fd") as view:
        state.subscribe("the terminal", view.observe)
        state.start(FIRST)
        state.end(FIRST.trial_id, "failed", error="no")
    printed = capsys.readouterr().out
    assert "failed" in printed
    coloured = re.search(r"\x1b\[[0-9;]*3[0-9]", printed)
    assert (coloured is None) == bool(no_color)
