"""Configuration errors are one line that names the key, the value and what would be right."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, model_serializer

from ndabench import config as config_module
from ndabench.config import Config, override, parse
from ndabench.errors import UserError
from ndabench.interruption import interruptible
from ndabench.yaml_reading import read_yaml


class Small(Config):
    name: Literal["small"] = "small"
    width: int = Field(4, ge=1)


class Large(Config):
    name: Literal["large"] = "large"
    depth: int = 1


class Outer(Config):
    inner: Annotated[Small | Large, Field(discriminator="name")]
    rate: float = 0.1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"inner": {"name": "small", "widht": 3}}, r"did you mean 'width'\? \(known: name, width\)"),
        (
            {"inner": {"name": "small", "width": 0}},
            r"width: input should be greater than or equal to 1, got 0",
        ),
        ({"inner": {"name": "smal"}}, r"unknown name 'smal'; did you mean 'small'"),
        ({"inner": {"width": 3}}, r"'inner.name' is missing"),
        ({}, r"'inner' is missing"),
        ({"inner": {"name": "large"}, "rate": "fast"}, r"rate: .*valid number.*got 'fast'"),
        ({"inner": {"name": "large"}, "rat": 1}, r"unknown key 'rat'; did you mean 'rate'"),
    ],
)
def test_a_mistake_is_one_line(data: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse(Outer, data, "file.yaml")
    assert str(caught.value).startswith("file.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (
            {"a": [{"b": "x\x1b[2J"}]},
            r"sweep: a.0.b: 'x\x1b[2J' contains a control character '\x1b'; remove it",
        ),
        ({"a": {"x\n": 1}}, r"sweep: a: 'x\n' contains a line break; remove it"),
        ({"a": Path("x\u202e")}, r"sweep: a: 'x\u202e' contains a control character '\u202e'; remove it"),
        ("\t", r"sweep: '\t' contains a tab; remove it"),
    ],
)
def test_characters_that_act_are_refused_from_programs_too(data: object, line: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(object, data, "sweep")
    assert str(caught.value) == line


def test_assignments_override_nested_keys() -> None:
    data = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert override(data, ["a.b=5", "d=[2, 3]", "e.f=x"]) == {
        "a": {"b": 5, "c": 2},
        "d": [2, 3],
        "e": {"f": "x"},
    }
    assert data == {"a": {"b": 1, "c": 2}, "d": [1]}


@pytest.mark.parametrize("assignment", ["a", "=1", "a.b.c=1", "a=[1"])
def test_a_wrong_assignment_is_named(assignment: str) -> None:
    with pytest.raises(UserError, match=r"--set"):
        override({"a": {"b": 1}}, [assignment])


def test_the_environment_fills_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f.yaml"
    file.write_text('path: ${SOMEWHERE}/x\nother: ["${NOWHERE:-here}"]\n')
    monkeypatch.setenv("SOMEWHERE", "/data")
    monkeypatch.delenv("NOWHERE", raising=False)
    assert read_yaml(file) == {"path": "/data/x", "other": ["here"]}
    monkeypatch.delenv("SOMEWHERE")
    with pytest.raises(UserError, match="SOMEWHERE is not set"):
        read_yaml(file)


@pytest.mark.parametrize("text", ["- 1\n", "a: [", "a: !!python/object:os.system {}\n"])
def test_bad_yaml_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"f\.yaml"):
        read_yaml(file)
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path / "absent.yaml")


class Renamed(Config):
    RENAMED: ClassVar[Mapping[str, str]] = {"drops": "lr_milestones"}

    lr_milestones: tuple[float, ...] = ()


class Holder(Config):
    part: Renamed = Renamed()


def test_a_former_name_is_read_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    config_module._warn_of_former_name.cache_clear()
    for _ in range(2):
        read = parse(Holder, {"part": {"drops": [0.5]}}, "sweep.yaml")
    assert read.part.lr_milestones == (0.5,)
    assert read.model_dump() == {"part": {"lr_milestones": (0.5,)}}
    assert caplog.messages == [
        "the key drops is called lr_milestones now; the next release will no longer read drops"
    ]


def test_a_former_name_with_the_present_one_is_refused() -> None:
    with pytest.raises(UserError, match="drops is the former name of lr_milestones; keep lr_milestones"):
        parse(Holder, {"part": {"drops": [0.5], "lr_milestones": [0.6]}}, "sweep.yaml")


class Slow(Config):
    """Its serializer is interrupted."""

    @model_serializer
    def _interrupted(self) -> dict[str, int]:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
        return {}


class Nested(Config):
    slow: Slow = Slow()


@pytest.mark.parametrize("config", [Slow(), Nested()])
def test_ctrl_c_while_it_is_written_is_one(config: Config) -> None:
    with interruptible(), pytest.raises(KeyboardInterrupt):
        config.model_dump(mode="json")
