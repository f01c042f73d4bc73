"""The range of λ: what it says is what it checks."""

import math

import pytest

from ndabench.errors import UserError
from ndabench.tasks.definition import LambdaRule
from ndabench.tasks.registry import TASKS


@pytest.mark.parametrize(
    ("task", "shown", "inside", "outside"),
    [
        ("gan", "(0, 1]", (1e-9, 0.25, 1), (0, -0.1, 1.1, math.nan, math.inf, True, "0.5", None)),
        ("image_contrastive", "[0, ∞)", (0, 1, 1e9), (-1e-9, math.inf, math.nan, True)),
        ("video_contrastive", "[0, ∞)", (0, 1, 1e9), (-1e-9, math.inf, math.nan, True)),
    ],
)
def test_each_task_has_its_range(task: str, shown: str, inside: tuple, outside: tuple) -> None:
    rule = TASKS[task].lambda_rule
    assert rule.range == shown
    for value in (*inside, rule.baseline, rule.default):
        rule.check(value)
    for value in outside:
        with pytest.raises(UserError) as caught:
            rule.check(value, "search: ")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        wanted = f"lie in {shown}" if number else "be a number"
        assert str(caught.value) == f"search: lambda must {wanted}, got {value!r}"


@pytest.mark.parametrize(
    ("low_open", "high_open", "shown"),
    [(False, False, "[0, 2]"), (True, False, "(0, 2]"), (False, True, "[0, 2)"), (True, True, "(0, 2)")],
)
def test_open_ends_are_excluded(low_open: bool, high_open: bool, shown: str) -> None:
    rule = LambdaRule(
        baseline=1, default=1, low=0, high=2, low_open=low_open, high_open=high_open, weighs="", meaning=""
    )
    assert rule.range == shown
    for value, is_out in ((0, low_open), (2, high_open), (1, False)):
        if is_out:
            with pytest.raises(UserError):
                rule.check(value)
        else:
            rule.check(value)
