"""What a YAML text means, and which texts are refused in one line that names the line."""

import os
from pathlib import Path

import pytest

from ndabench.errors import UserError
from ndabench.yaml_reading import MOST_VALUES, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("-2.5E4", -2.5e4),
        (".5e1", 5.0),
        ("1.e2", 100.0),
        ("'1e-3'", "1e-3"),
        ("1e", "1e"),
        ("e3", "e3"),
        ("010", 8),
        ("yes", True),
        ("", None),
        ("{<<: {a: 1, b: 2}, a: 3}", {"a": 3, "b": 2}),
        ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
    ],
)
def test_a_text_means_what_yaml_says_but_for_exponents(text: str, value: object) -> None:
    assert parse_yaml(text) == value


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines)


REFUSED = {
    "a key twice": ("a: 1\nb: 2\na: 3\n", "lines 1 and 3: the key 'a' is given twice; keep one"),
    "a key twice deep inside": (
        "b:\n- {c: 1, d: {e: 1,\n  e: 2}}\n",
        "lines 2 and 3: the key 'e' is given twice",
    ),
    "a key twice with other quotes": ("a: 1\n'a': 3\n", "lines 1 and 2: the key 'a' is given twice"),
    "two merges": ("<<: {a: 1}\n<<: {b: 1}\n", "lines 1 and 2: the key '<<' is given twice"),
    "an alias to itself": ("a: &a\n  b: *a\n", "line 1: an alias refers to the value that contains it"),
    "a list in itself": ("&a [*a]", "line 1: an alias refers to the value that contains it"),
    "many brackets": ("a: " + "[" * 3000, "line 1: more than 40 lists and mappings inside one another"),
    "many chains": ("a: " + "{chain: [" * 900, "line 1: more than 40 lists and mappings inside one another"),
    "nesting by aliases": (bomb(900, 1), "line 40: more than 40 lists and mappings inside one another"),
    "a bomb of aliases": (bomb(30, 9), "more than 100,000 values, aliases followed"),
    "an escape": ('a: "b\\e[2Jc"', "line 1: 'b\\x1b[2Jc' contains a control character '\\x1b'; remove it"),
    "a NUL": ('\n"a\\0": 1', "line 2: 'a\\x00' contains a control character '\\x00'; remove it"),
    "two lines": ("a: |\n  b\n  c\n", "contains a line break; remove it"),
    "a changed direction": ("a: \u202etxt.exe", "contains a control character '\\u202e'; remove it"),
    "half a character": ('a: "\\ud800"', "contains a control character '\\ud800'; remove it"),
    "a number of 5,000 digits": ("a: 1" + "0" * 5000, "is no int"),
    "a long number in hexadecimal": ("a: 0x" + "f" * 5000, "is no int"),
    "no number": ("a: !!int five", "line 1: 'five' is no int"),
    "month 13": ("a: 2026-13-01", "line 1: '2026-13-01' is no timestamp"),
    "an object": (
        "a: !!python/object:os.system {}",
        "line 1: not valid YAML (could not determine a constructor",
    ),
    "no end": ("a: [\n", "line 2: not valid YAML (expected the node content"),
    "a key that is a list": ("{[1]: 2}", "line 1: not valid YAML (found unhashable key)"),
    "two documents": ("a: 1\n---\nb: 1\n", "line 2: not valid YAML (but found another document)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_text_is_refused_in_one_short_line(case: str) -> None:
    text, line = REFUSED[case]
    with pytest.raises(UserError) as raised:
        parse_yaml(text)
    assert line in str(raised.value)
    assert len(str(raised.value)) <= 300
    assert str(raised.value).isprintable()


def test_many_values_are_read_up_to_the_bound() -> None:
    assert len(parse_yaml(f"[{'1,' * 5000}]")) == 5000
    with pytest.raises(UserError, match="more than 100,000 values"):
        parse_yaml(f"a: &a [{'1,' * 1000}]\nb: [{'*a,' * (MOST_VALUES // 1000)}]")


def test_a_variable_is_filled_in_before_its_type_is_decided() -> None:
    variables = {"STEPS": "200", "RATE": "1e-3", "WHERE": "/data"}
    text = "a: ${STEPS}\nb: '${STEPS}'\nc: ${RATE}\nd: ${WHERE}/x\ne: '${NONE:-y}'\nf: ${NONE:-5}"
    assert parse_yaml(text, variables) == {"a": 200, "b": "200", "c": 1e-3, "d": "/data/x", "e": "y", "f": 5}
    with pytest.raises(
        UserError, match=r"^line 2: environment variable NONE is not set \(used in '\$\{NONE\}'\)"
    ):
        parse_yaml("a: 1\nb: ${NONE}", variables)
    assert parse_yaml("a: ${NONE}") == {"a": "${NONE}"}


def test_only_a_file_of_a_plausible_size_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(UserError, match=r"cannot be read \(it is a folder, a pipe or a device\)"):
            read_yaml(path)
    (tmp_path / "large.yaml").write_text("a: 1\n" + "#" * 2**18)
    with pytest.raises(UserError, match=r"large\.yaml: is larger than 256 KiB"):
        read_yaml(tmp_path / "large.yaml")
