"""Packages and modules from outside: known without being imported, recorded, and one line if broken."""

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ndabench.augmentations.registry import NEGATIVES
from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.orchestration.cluster import runtime_env
from ndabench.planning.sweep_file import SweepConfig
from ndabench.plugins import import_plugins, local_plugins, used_plugins
from ndabench.reference.names import KINDS, described, unknown_groups
from ndabench.registry import Registry
from ndabench.trials.config import Provenance, planned_row
from tests.registrations import REGISTRIES, kept_registries

SWEEP = {"name": "tiny", "task": "gan", "data": "digits", "arms": ["none", "shade"]}
GOOD = """
from ndabench.augmentations.registry import Implementation, NegativeEntry
SHADE = NegativeEntry(images=Implementation("my_shades.drawing:shade"))
WRONG = 3
"""
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package with these files and entry points where Python finds installed packages."""

    def put(name: str, entry_points: str, version: str = "1.0", **files: str) -> Path:
        root = tmp_path / name / "site-packages"
        info = root / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points)
        for file, text in files.items():
            module = root / "my_shades" / f"{file}.py"
            module.parent.mkdir(exist_ok=True)
            module.write_text(text)
        monkeypatch.syspath_prepend(str(root))
        return root

    with kept_registries():
        yield put
    for module in [name for name in sys.modules if name.partition(".")[0].startswith("my_")]:
        del sys.modules[module]


def shades(install: Install, points: str = "shade = my_shades:SHADE", **options: str) -> Path:
    return install("my-shades", f"[ndabench.negatives]\n{points}\n", __init__=GOOD, **options)


def test_every_registry_has_the_group_of_its_kind() -> None:
    assert {f"ndabench.{kind}": registry for kind, registry in KINDS.items()} == {
        registry.group: registry for registry in REGISTRIES
    }


def test_a_name_is_known_before_its_package_is_imported(install: Install) -> None:
    shades(install)
    assert "shade" in NEGATIVES
    assert "shade" in list(NEGATIVES)
    parse(SweepConfig, {**SWEEP, "arms": ["none", "jigsaw"]}, "sweep")
    with pytest.raises(UserError, match=r"unknown negative 'shad'; did you mean 'shade'"):
        NEGATIVES["shad"]
    assert "my_shades" not in sys.modules
    sweep = parse(SweepConfig, SWEEP, "sweep")
    assert [arm.name for arm in sweep.arms] == ["none", "shade"]
    assert "my_shades" in sys.modules
    assert "my_shades.drawing" not in sys.modules
    assert "(my-shades 1.0)" in described(NEGATIVES)["shade"]


def test_what_a_package_does_wrong_is_one_line_that_names_it(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    shades(
        install,
        "gone = my_shades.gone:SHADE\nnone = my_shades:NOTHING\nwrong = my_shades:WRONG\n"
        "jigsaw = my_shades:WRONG\nbroken = my_shades.broken:SHADE",
        broken="raise RuntimeError('no\\nluck')",
    )
    for name, reason in (
        ("gone", "cannot be loaded from my_shades.gone:SHADE (No module named 'my_shades.gone')"),
        ("none", "cannot be loaded from my_shades:NOTHING (module 'my_shades' has no attribute 'NOTHING')"),
        ("broken", "cannot be loaded from my_shades.broken:SHADE (no luck)"),
    ):
        with pytest.raises(UserError) as raised:
            parse(SweepConfig, {**SWEEP, "arms": [name if name != "none" else {"negative": name}]}, "sweep")
        assert f"plugin my-shades 1.0: negative {name!r} {reason}" in str(raised.value)
        assert "\n" not in str(raised.value)
    with pytest.raises(
        UserError, match=r"negative 'wrong': my_shades:WRONG is of type int, not NegativeEntry"
    ):
        NEGATIVES["wrong"]
    with caplog.at_level(logging.WARNING):
        known = dict(NEGATIVES.items())
    assert known["jigsaw"].by("corrected") is not None
    assert not {"gone", "none", "wrong", "broken"} & set(known)
    said = " ".join(caplog.messages)
    assert said.count("plugin my-shades 1.0") == 5
    assert "negative 'jigsaw' is ndabench's own name; left out" in said


def test_two_packages_with_one_name_are_named_both(install: Install) -> None:
    shades(install)
    install("other-shades", "[ndabench.negatives]\nshade = other:SHADE\n", version="2.0")
    with pytest.raises(UserError) as raised:
        NEGATIVES["shade"]
    line = str(raised.value)
    assert "my-shades 1.0" in line
    assert "other-shades 2.0" in line
    assert line.endswith("is offered by both; uninstall one")


def test_a_misspelt_group_is_told(install: Install) -> None:
    install("my-shades", "[ndabench.negative]\nshade = my_shades:SHADE\n", __init__=GOOD)
    (line,) = unknown_groups()
    assert line == (
        "plugin my-shades 1.0: there is no group of entry points 'ndabench.negative'; "
        "did you mean 'ndabench.negatives'?"
    )


def test_a_tracker_of_a_package_is_on_only_where_it_is_named(install: Install) -> None:
    code = (
        "from typing import Literal\nfrom ndabench.config import Config\n"
        "from ndabench.tracking.registry import TrackerEntry\n"
        "class ShadeConfig(Config):\n    pass\n"
        "SHADES = TrackerEntry(ShadeConfig, 'my_shades:make', by_default=True)\n"
    )
    install("my-shades", "[ndabench.trackers]\nshades = my_shades:SHADES\n", __init__=code)
    without = parse(SweepConfig, {**SWEEP, "arms": ["none"]}, "sweep")
    assert "my_shades" not in sys.modules
    assert "shades" not in without.model_dump()["track"]
    named = parse(SweepConfig, {**SWEEP, "arms": ["none"], "track": {"shades": True}}, "sweep")
    assert "shades" in named.track


def test_the_record_names_version_and_code_of_what_a_trial_uses(install: Install) -> None:
    root = shades(install, drawing="import torch\n")
    plain, shaded = parse(SweepConfig, SWEEP, "sweep").grid_trials()
    row = planned_row(shaded, Provenance("tiny"))
    assert planned_row(plain, Provenance("tiny")).plugins_json is None
    assert row.plugins_json is not None
    digest = hashlib.sha256()
    for name in ("__init__.py", "drawing.py"):
        content = hashlib.sha256((root / "my_shades" / name).read_bytes()).hexdigest()
        digest.update(f"{name}\0{content}\n".encode())
    assert json.loads(row.plugins_json) == {"my_shades": {"version": "1.0", "sha256": digest.hexdigest()}}


def test_a_file_that_a_sweep_names_is_recorded_and_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Install
) -> None:
    (tmp_path / "my_file.py").write_text("__version__ = '3'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    shades(install)
    import_plugins(["my_file", "my_shades"])
    assert used_plugins({"plugins": ["my_file"]})["my_file"]["version"] == "3"
    assert local_plugins(["my_file", "my_shades", "json"]) == [tmp_path / "my_file.py"]
    assert runtime_env({}, [tmp_path / "my_file.py"])["py_modules"] == [str(tmp_path / "my_file.py")]
    of_a_job = Path("/tmp/ray/session/runtime_resources/working_dir_files/x/my_file.py")
    assert "py_modules" not in runtime_env({}, [of_a_job])


def test_a_module_that_cannot_be_imported_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_broken.py").write_text("raise RuntimeError('no\\nluck')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module, reason in (("my_broken", "no luck"), (".x", "relative"), ("my_missing", "No module named")):
        with pytest.raises(UserError) as raised:
            import_plugins([module])
        assert f"plugins: '{module}' cannot be imported (" in str(raised.value)
        assert reason in str(raised.value)
        assert "\n" not in str(raised.value)


def test_an_entry_that_is_registered_and_offered_is_one(install: Install) -> None:
    shades(install)
    registry: Registry = NEGATIVES
    entry = registry["shade"]
    registry.register("shade", entry)
    with pytest.raises(ValueError, match="negative 'shade' is registered already"):
        registry.register("shade", registry["jigsaw"])
    assert list(registry).count("shade") == 1
    assert len(registry) == len(list(registry))
