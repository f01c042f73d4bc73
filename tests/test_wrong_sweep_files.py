"""Wrong sweep files are one short line each, whoever wrote them: a corpus, and a fuzzer over the schema."""

import copy
import re
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


WHOLE: dict[str, dict[str, Any]] = {
    "images": {
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
    "videos": {
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
    "points": {
        "name": "s",
        "task": {
            "name": "density_gan",
            "losses": "wasserstein_gp",
            "gradient_penalty": 0.5,
            "betas": [0.0, 0.9],
            "decay_from": 0.5,
            "ema": {"decay": 0.9, "start": 2},
        },
        "data": {"name": "ring", "num_modes": 5, "std": 0.1},
        "arms": ["none", "between", {"name": "more fakes", "task": {"fakes_per_real": 2}}],
        "search": {"lambda": [0.25, 0.5]},
        "evaluate": [{"name": "mass_outside", "every": 500}, "modes_covered"],
        "scheduler": "none",
    },
    "detection": {
        "name": "s",
        "task": {
            "name": "image_contrastive",
            "method": {"name": "moco", "queue_size": 64},
            "encoder": {"name": "resnet", "depth": 18, "width": 8},
            "batch_size": 16,
            "num_steps": 8,
        },
        "data": {"name": "digits", "image_size": 32},
        "arms": ["none", {"name": "cut", "negative": {"name": "cutout"}, "positive": "flip"}],
        "evaluate": [
            {
                "name": "detection",
                "data": {"name": "scattered_digits", "seed": 3},
                "body": "fpn",
                "decay_at": [0.5],
                "train_short_sides": [96, 128],
                "as": "small",
            },
            {"name": "knn", "neighbours": 5},
        ],
        "objective": {"metric": ["voc07_ap50_small", "knn"]},
        "resources": {"placement": "spread", "max_restarts": 1, "max_concurrent": 2},
    },
    "claims": {
        "name": "s",
        "task": {"name": "gan", "num_steps": 4, "width": 4},
        "data": {"name": "dots", "count": [2], "image_size": 64},
        "arms": [
            "none",
            {
                "name": "counts",
                "negative": {"name": "dataset", "data": {"name": "dots", "count": [1, 3], "image_size": 64}},
            },
            {"name": "longer", "task": {"num_steps": 8}},
            {"name": "fakes", "task": {"fakes_per_real": 2}},
        ],
        "search": {
            "lambda": {"uniform": [0.1, 0.9]},
            "learning_rate": {"log_uniform": [1e-4, 1e-2]},
            "sampler": {"name": "tpe"},
            "trials_per_arm": 3,
            "pareto_settings": 2,
        },
        "seeds": [0, 1, 2, 3, 4],
        "evaluate": [{"name": "fd", "num_samples": 64}, "kid"],
        "objective": {"metric": "fd_classifier"},
        "claim": {
            "measure": "fd_classifier",
            "that": [{"arm": "counts", "is": "lower"}, {"arm": "counts", "is": "no_worse", "margin": 0.5}],
        },
        "controls": {"positive": ["longer"], "negative": ["fakes"]},
        "keep": {"checkpoints": "best", "samples": 16},
        "limits": {"gpu_hours": 1.5, "disk_gib": 2.0},
    },
}
"""Right sweep files that between them have most keys."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value in nested mappings and lists."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


PLACES = [(name, path) for name, whole in WHOLE.items() for path in places(whole) if path]
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


@pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE)
def test_what_the_fuzzer_starts_from_is_right(tmp_path: Path, whole: dict[str, Any]) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(whole))
    read_sweep(file, [])


def lines_of(text: str, path: tuple[Any, ...]) -> range:
    """The lines, counted from 1, of the value at `path`."""
    node: Any = yaml.compose(text, yaml.SafeLoader)
    for key in path:
        pairs = {name.value: value for name, value in node.value} if isinstance(key, str) else node.value
        node = pairs[key]
    return range(node.start_mark.line + 1, node.end_mark.line + 2)


def named(whole: Any, path: tuple[Any, ...]) -> set[str]:
    """One of these a line about the value at `path` must name: its key or, for rules across keys, one of the
    two above it or the former value, to which another key may still refer."""
    former = whole
    for key in path:
        former = former[key]
    return {*[key for key in path if isinstance(key, str)][-3:], *re.findall(r"\w+", str(former))}


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(PLACES), odd=ODD)
def test_an_odd_value_anywhere_is_read_or_one_short_line(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[str, tuple[Any, ...]], odd: Any
) -> None:
    name, path = place
    file = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    text = yaml.safe_dump(changed(WHOLE[name], path, odd), allow_unicode=True)
    file.write_text(text)
    try:
        read_sweep(file, [])
    except UserError as error:
        line = str(error).removeprefix(str(file))
        assert len(line) <= LONGEST, line
        assert line.isprintable(), line
        if (number := re.match(r": lines? (\d+)", line)) is not None:
            assert int(number[1]) in lines_of(text, path), (line, path)
        else:
            assert named(WHOLE[name], path) & {*re.findall(r"\w+", line)}, (line, path, odd)


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
