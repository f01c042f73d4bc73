"""Wrong sweep files are one short line each, whoever wrote them: a corpus, and a fuzzer over the schema."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ndabench.errors import UserError
from ndabench.planning.sweep_file import read_sweep
from ndabench.sweep import sweep
from tests.command_lines import CommandLine

CORPUS = Path(__file__).parent / "wrong_sweep_files.txt"
BASE = {
    "name": "name: wrong",
    "task": "task: {name: gan, width: 4, latent_dim: 8, batch_size: 8, num_steps: 2, num_sheet_rows: 1}",
    "data": "data: {name: digits, image_size: 16}",
    "arms": "arms: [none, jigsaw]",
}
LONGEST = 300
"""Characters of a line, without the path of the file."""


def cases() -> Iterator[Any]:
    for case in CORPUS.read_text().split("\n=== ")[1:]:
        line, _, text = case.partition("\n")
        given_keys = {row.partition(":")[0] for row in text.splitlines()}
        missing = [row for key, row in BASE.items() if key not in given_keys]
        yield pytest.param("\n".join([text.strip(), *missing]) + "\n", line, id=line[:60])


@pytest.mark.parametrize(("text", "expected"), list(cases()))
def test_the_corpus(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as raised:
        read_sweep(file, [])
    line = str(raised.value)
    assert line.startswith(f"{file}: ")
    assert expected in line
    assert len(line.removeprefix(str(file))) <= LONGEST
    assert line.isprintable()


def test_a_wrong_file_ends_a_command_with_2_and_leaves_nothing(command_line: CommandLine) -> None:
    file = command_line.folder / "sweep.yaml"
    file.write_text("seeds: [0]\nseeds: [1]\n")
    line = command_line.error(sweep, str(file), "--out", str(command_line.out))
    assert line == f"error: {file}: lines 1 and 2: the key 'seeds' is given twice; keep one\n"


WHOLE: list[dict[str, Any]] = [
    {
        "name": "s",
        "task": {"name": "gan", "num_steps": 4, "betas": [0.0, 0.9], "network": {"name": "biggan"}},
        "data": {"name": "digits", "image_size": 16, "horizontal_flip": True},
        "arms": [
            "none",
            {"negative": {"mixture": {"jigsaw": 0.5, "cutout": 0.5}}},
            {"name": "b", "negative": {"chain": ["jigsaw", {"name": "rotate", "degrees": 30.0}]}},
        ],
        "search": {"lambda": [0.25], "learning_rate": [1e-3, 2e-3]},
        "seeds": [0, 1],
        "budget": "compute",
        "evaluate": [{"name": "fd", "num_samples": 64, "every": 2}, "kid"],
        "time_budget_seconds": 10.0,
        "resources": {"workers": 2, "cpus_per_worker": 1.0, "custom_per_worker": {"a100": 1.0}},
        "track": {"tensorboard": True, "mlflow": {"experiment": "e"}},
    },
    {
        "name": "s",
        "task": {
            "name": "video_contrastive",
            "method": {"name": "dpc", "num_blocks": 8},
            "encoder": {"name": "resnet2d3d", "width": 8},
            "views": {"size": 16, "crop_scale": [0.2, 1.0], "jitter": [0.4, 0.4, 0.4, 0.1]},
            "lr_milestones": [0.5],
        },
        "data": {"name": "moving_digits", "frame_size": [32, 32], "files": {"sizes": [[48, 48]]}},
        "arms": ["none", {"negative": {"name": "shuffle_blocks", "block": 1}, "task": {"num_steps": 3}}],
        "search": {"nda_scale": {"uniform": [0.5, 1.0]}, "sampler": "random", "trials_per_arm": 2, "seed": 9},
        "evaluate": [{"name": "linear_probe", "penalties": [0.1], "every": 100}],
        "objective": {"metric": "linear_probe", "mode": "max"},
        "scheduler": {"name": "asha", "grace_steps": 100},
    },
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value in nested mappings and lists."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


PLACES = [(number, path) for number, whole in enumerate(WHOLE) for path in places(whole) if path]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.sampled_from([0, -1, 2**31, 2**32, 2**63, 10**400, float("nan"), float("inf"), -float("inf"), 1e-320]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", "~x/y", "1e-3", "none", "a" * 5000, "{", "[/b]", "gs://t:S@b", "../x", "${HOME}"]),
    st.lists(st.integers() | st.text(max_size=3), max_size=4),
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=3), max_size=3),
    st.just([[[[[[0]]]]]]),
)


def changed(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    result = copy.deepcopy(whole)
    parent = result
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return result


@pytest.mark.parametrize("whole", WHOLE, ids=["images", "videos"])
def test_what_the_fuzzer_starts_from_is_right(tmp_path: Path, whole: dict[str, Any]) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(whole))
    read_sweep(file, [])


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(PLACES), odd=ODD)
def test_an_odd_value_anywhere_is_read_or_one_short_line(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[int, tuple[Any, ...]], odd: Any
) -> None:
    number, path = place
    file = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    file.write_text(yaml.safe_dump(changed(WHOLE[number], path, odd), allow_unicode=True))
    try:
        read_sweep(file, [])
    except UserError as error:
        line = str(error).removeprefix(str(file))
        assert len(line) <= LONGEST, line
        assert line.isprintable(), line
        names = [str(key) for key in path if isinstance(key, str)]
        assert "line " in line or any(name in line for name in names), (line, path)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(text=st.text(alphabet="abc:- \n\t[]{}&*!|>'\"%@#,?0123456789.e\x00\x1b\u202e", max_size=60))
def test_any_text_is_yaml_or_one_short_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "text.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as raised:
        read_sweep(file, [])
    line = str(raised.value).removeprefix(str(file))
    assert len(line) <= LONGEST, line
    assert line.isprintable(), line
