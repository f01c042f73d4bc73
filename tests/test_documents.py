"""What the documents say of keys, columns and files is so."""

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pydantic import BaseModel

from ndabench.augmentations.registry import implementations
from ndabench.config import parse
from ndabench.data.registry import DATA_SETS
from ndabench.measurement import Measurement
from ndabench.metrics.extractor_registry import EXTRACTORS
from ndabench.metrics.registry import EVALUATIONS
from ndabench.planning.resources import Resources
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore, TrialRow, schema
from ndabench.records.status import SweepStatus
from ndabench.tasks.contrastive.config import ImageContrastiveConfig, VideoContrastiveConfig
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.registry import TASKS

CLIP_NEGATIVES = implementations("clips")

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
TYPES = {pa.float64(): "double", pa.timestamp("us", tz="UTC"): "timestamp (UTC)"}


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)]*)\)", text):
        file, _, anchor = target.partition("#")
        linked = (document.parent / file).resolve() if file else document
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked), target
    for file in re.findall(r"(?:sweeps|docs|tests|benchmarks|ndabench)/[\w/]+\.(?:yaml|py|md|sh)", text):
        assert (ROOT / file).exists(), file


def test_the_sweep_files_shown_are_sweep_files(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = re.findall(
        r"^```yaml\n(name: .*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert shown
    for text in shown:
        parse(SweepConfig, yaml.safe_load(text), "README.md")


def test_every_column_is_described_as_in_the_tables_themselves() -> None:
    text = (DOCS / "records.md").read_text()
    for name, table in (
        ("trials", schema.TRIALS),
        ("metrics", schema.METRICS),
        ("artifacts", schema.ARTIFACTS),
    ):
        section = text.partition(f"### `{name}`\n")[2].partition("\n### ")[0]
        described = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", section, re.MULTILINE)
        assert described == [
            (field.name, _type(field.type), field.metadata[b"description"].decode()) for field in table
        ]


def _type(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):  # how texts that repeat are held; no matter to who reads them
        return _type(kind.value_type)
    return "list of strings" if pa.types.is_list(kind) else TYPES.get(kind, str(kind))


@pytest.mark.parametrize("document", ["README.md", "docs/records.md"])
def test_the_snippets_read_the_records(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gives the mean test value of every arm and λ."""
    (snippet,) = re.findall(r"^```python\n(import pandas.*?)^```", (ROOT / document).read_text(), re.M | re.S)
    store = RecordStore(str(tmp_path / "reports/quickstart"))
    for seed, value in enumerate((10.0, 20.0)):
        trial_id = f"jigsaw-{seed}"
        row = TrialRow(
            sweep="quickstart",
            trial_id=trial_id,
            task="gan",
            dataset="digits",
            arm="jigsaw",
            lambda_=0.25,
            seed=seed,
            config_json="{}",
            status="finished",
        )
        store.write_trial(row)
        measured = Measurement(value, "lower", kind="metric", metric="fd_classifier", split="test")
        validated = replace(measured, value=99.0, split="validation")
        metrics = {"fd_classifier": measured, "val_fd_classifier": validated, "loss": Measurement(1.0)}
        store.write_progress("quickstart", trial_id, 100, metrics, {})
    monkeypatch.chdir(tmp_path)
    *statements, last = ast.parse(snippet).body
    assert isinstance(last, ast.Expr)
    namespace: dict[str, Any] = {}
    exec(compile(ast.Module(statements, []), document, "exec"), namespace)
    means = eval(compile(ast.Expression(last.value), document, "eval"), namespace)
    assert means.to_dict() == {("jigsaw", 0.25): 15.0}


def _ours(registry: Mapping[str, Any], module_of: Callable[[Any], str]) -> list[str]:
    """The names in a registry without those that other tests register."""
    return [name for name, entry in registry.items() if module_of(entry).startswith("ndabench.")]


@pytest.mark.parametrize(
    ("config", "files"),
    [
        (SweepConfig, ["sweep-file.md"]),
        (Resources, ["sweep-file.md", "cluster.md"]),
        (GanConfig, ["tasks.md"]),
        (ImageContrastiveConfig, ["tasks.md"]),
        (VideoContrastiveConfig, ["tasks.md"]),
        (SweepStatus, ["watching.md"]),
    ],
)
def test_every_key_is_named(config: type, files: list[str]) -> None:
    keys = config.model_fields if issubclass(config, BaseModel) else inspect.signature(config).parameters
    for file in files:
        assert set(keys) <= _words_in_code((DOCS / file).read_text()), file


@pytest.mark.parametrize(
    ("names", "file"),
    [
        (CLIP_NEGATIVES, "sweep-file.md"),
        (_ours(TASKS, lambda task: task.build), "sweep-file.md"),
        (_ours(DATA_SETS, lambda entry: entry.config.__module__), "tasks.md"),
        (_ours(EVALUATIONS, lambda entry: entry.measure), "tasks.md"),
        (_ours(EXTRACTORS, lambda entry: entry.open), "tasks.md"),
    ],
)
def test_every_name_in_a_registry_is_named(names: Iterable[str], file: str) -> None:
    assert set(names) <= _words_in_code((DOCS / file).read_text())


def test_what_is_known_of_each_extractor_is_in_the_table() -> None:
    text = (DOCS / "tasks.md").read_text()
    for name in _ours(EXTRACTORS, lambda entry: entry.open):
        entry = EXTRACTORS[name]
        size = "as stored" if entry.input_size is None else f"{entry.input_size}×{entry.input_size}"
        (row,) = re.findall(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
        assert row == f"| `{name}` | {entry.dimension} | {size} | {entry.resize} | {entry.weights} |"


def _words_in_code(text: str) -> set[str]:
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", prose))))
