"""Every number that a sweep file can hold is a number, finite, and has a plausible range."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter

import ndabench
from ndabench.augmentations.registry import NEGATIVES
from ndabench.config import Config, _number_fields, parse
from ndabench.errors import UserError
from ndabench.planning.sweep_file import SweepConfig

NOT_OF_USERS = {"Manifest", "VideoFacts"}
"""What ndabench writes into its own cache."""


def kinds(of: type[Config] = Config) -> Iterator[type[Config]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def unbounded(schema: Any) -> Iterator[Any]:
    if isinstance(schema, dict):
        low, high = ({f"{end}imum", f"exclusive{end.capitalize()}imum"} for end in ("min", "max"))
        if schema.get("type") in ("integer", "number") and not (low & schema.keys() and high & schema.keys()):
            yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from unbounded(part)


def test_every_number_of_every_configuration_has_both_bounds() -> None:
    for module in pkgutil.walk_packages(ndabench.__path__, "ndabench."):
        if module.name.partition(".")[2].startswith(
            ("data.", "tracking.config", "augmentations.views_config")
        ):
            importlib.import_module(module.name)
    found = [kind for kind in kinds() if kind.__module__.startswith("ndabench.")]
    assert len(found) > 60
    without = []
    for kind in found:
        for name, field in kind.model_fields.items():
            if name in _number_fields(kind) and kind.__name__ not in NOT_OF_USERS:
                described = Annotated[(field.annotation, *field.metadata, None)]  # type: ignore[name-defined]  # made at run time
                without += [(kind.__name__, name) for _ in unbounded(TypeAdapter(described).json_schema())]
    assert without == []


def test_every_number_of_every_negative_has_both_bounds() -> None:
    for name, entry in NEGATIVES.items():
        for key, parameter in entry.parameters.items():
            if isinstance(parameter.default, int | float):
                assert parameter.at_least is not None or parameter.above is not None, f"{name}: {key}"
                assert parameter.at_most is not None, f"{name}: {key}"


TEN_TO_THE_400 = 10**400


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"task": {"name": "gan", "num_steps": 0}}, "greater than or equal to 1, got 0"),
        ({"task": {"name": "gan", "log_every": 0}}, "greater than or equal to 1, got 0"),
        ({"evaluate": [{"name": "fd", "every": 0}]}, "greater than or equal to 1, got 0"),
        ({"task": {"name": "gan", "num_steps": True}}, "task.num_steps: must be a number, got True"),
        ({"task": {"name": "gan", "num_steps": "500"}}, "got the text '500'; remove the quotes"),
        ({"task": {"name": "gan", "num_steps": TEN_TO_THE_400}}, "task.num_steps: the number 1000"),
        (
            {"task": {"name": "gan", "num_steps": 10**12}},
            "task.num_steps: input should be less than or equal",
        ),
        ({"task": {"name": "gan", "latent_dim": TEN_TO_THE_400}}, "task.latent_dim: the number 1000"),
        (
            {"task": {"name": "gan", "width": 2**63}},
            "task.width: the number 9223372036854775808 is too large",
        ),
        ({"task": {"name": "gan", "num_sheet_rows": 100_000}}, "task.num_sheet_rows: "),
        ({"task": {"name": "gan", "betas": [2, -1]}}, "task.betas.0: input should be less than 1, got 2"),
        ({"task": {"name": "gan", "learning_rate": float("nan")}}, "task.learning_rate: .*finite"),
        ({"seeds": [2**63]}, "seeds: the number 9223372036854775808 is too large"),
        ({"seeds": [0, True]}, "seeds: must be a number, got True"),
        ({"seeds": [2**32]}, "seeds.0: "),
        ({"search": {"seed": 2**63}}, "search.seed: the number"),
        ({"search": {"lambda": ["0.5"]}}, "lambda must be a number, got '0.5'"),
        ({"search": {"lambda": [True]}}, "lambda must be a number, got True"),
        ({"search": {"lambda": [float("nan")]}}, r"lambda must lie in \(0, 1\], got nan"),
        ({"resources": {"memory_gib_per_worker": 1e300}}, "resources.memory_gib_per_worker: "),
        (
            {"resources": {"custom_per_worker": {"a100": True}}},
            "custom_per_worker: must be a number, got True",
        ),
        ({"evaluate": [{"name": "fd", "num_samples": 10**12}]}, "evaluate.0.num_samples: "),
        (
            {"task": {"name": "image_contrastive", "temperature": 1e-320}},
            "task.temperature: input should be greater than or equal to 0.001",
        ),
    ],
)
def test_an_implausible_number_is_one_line_that_names_the_key(changes: dict[str, Any], line: str) -> None:
    base = {"name": "s", "task": {"name": "gan"}, "data": {"name": "digits"}, "arms": ["none", "jigsaw"]}
    with pytest.raises(UserError, match=line) as raised:
        parse(SweepConfig, {**base, **changes}, "s.yaml")
    assert len(str(raised.value)) <= 300
