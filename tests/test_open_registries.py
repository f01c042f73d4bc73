"""Registries are open for entries from outside, and say in one line what is wrong with a part they pick."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from ndabench.config import Config, parse
from ndabench.errors import UserError
from ndabench.registry import OneOf, Registry, load


class Round(Config):
    name: Literal["round"] = "round"
    radius: float = Field(1.0, gt=0)


class Square(Config):
    name: Literal["square"] = "square"
    side: float = Field(1.0, gt=0, alias="edge")


def shapes() -> Registry[type[Config]]:
    return Registry("shape", "ndabench.shapes", {"round": Round})


def drawing(registry: Registry[type[Config]]) -> type[Config]:
    class Drawing(Config):
        first: Annotated[Config, OneOf(registry, config_of=lambda entry: entry)]
        more: tuple[Annotated[Config, OneOf(registry, config_of=lambda entry: entry)], ...] = ()

    return Drawing


def test_a_part_is_read_by_its_name_and_dumped_whole() -> None:
    registry = shapes()
    kind: Any = drawing(registry)
    registry.register("square", Square)
    read = parse(kind, {"first": "round", "more": [{"name": "square", "edge": 2}, Round(radius=3)]}, "f")
    assert read.first == Round()
    assert read.more == (Square(side=2), Round(radius=3))
    assert read.model_dump(mode="json", by_alias=True) == {
        "first": {"name": "round", "radius": 1.0},
        "more": [{"name": "square", "edge": 2.0}, {"name": "round", "radius": 3.0}],
    }
    assert kind.model_validate_json(read.model_dump_json(by_alias=True)) == read


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"first": "rund"}, "f: first.name: unknown name 'rund'; did you mean 'round'? (known: round)"),
        ({"first": {"radius": 1}}, "f: 'first.name' is missing"),
        ({"first": 3}, "f: first: must be a mapping of keys to values, got 3"),
        (
            {"first": {"name": "round", "radius": -1}},
            "f: first.radius: input should be greater than 0, got -1",
        ),
        (
            {"first": {"name": "round", "radus": 1}},
            "f: unknown key 'first.radus'; did you mean 'radius'? (known: name, radius)",
        ),
        (
            {"first": "round", "more": ["round", {"name": "round", "radius": 0}]},
            "f: more.1.radius: input should be greater than 0, got 0",
        ),
    ],
)
def test_what_is_wrong_in_a_part_is_one_line_that_names_its_key(data: Any, line: str) -> None:
    with pytest.raises(UserError) as raised:
        parse(drawing(shapes()), data, "f")
    assert str(raised.value) == line


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown shape 'rond'; did you mean 'round'\? \(known: round\)"):
        shapes()["rond"]


def test_a_name_is_taken_once() -> None:
    registry = shapes()
    registry.register("round", Round)  # a plugin that is imported twice changes nothing
    with pytest.raises(ValueError, match="shape 'round' is registered already"):
        registry.register("round", Square)


def test_an_implementation_is_imported_when_it_is_loaded() -> None:
    assert load("ndabench.registry:Registry") is Registry
