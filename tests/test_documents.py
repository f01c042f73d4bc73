"""The documents are true: their keys, columns, files, names and snippets are those of the code."""

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
import torch
import yaml
from pydantic import BaseModel

from ndabench.augmentations.registry import NEGATIVES, having, implementations
from ndabench.config import parse
from ndabench.data.registry import DATA_SETS
from ndabench.measurement import Measurement
from ndabench.metrics.generators.extractor_registry import EXTRACTORS
from ndabench.metrics.registry import EVALUATIONS
from ndabench.planning.pruners import PRUNERS
from ndabench.planning.resources import Resources
from ndabench.planning.samplers import SAMPLERS
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore, TrialRow, schema
from ndabench.records.status import SweepStatus
from ndabench.tasks.contrastive.config import ImageContrastiveConfig, VideoContrastiveConfig
from ndabench.tasks.contrastive.encoders import ENCODERS
from ndabench.tasks.contrastive.methods import METHODS
from ndabench.tasks.density_gan.config import DensityGanConfig
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.gan.losses import ADVERSARIAL_LOSSES
from ndabench.tasks.gan.networks import NETWORKS
from ndabench.tasks.registry import TASKS
from ndabench.tracking.registry import TRACKERS
from tests.registrations import kept_registries

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


def test_every_document_is_on_the_site() -> None:
    """`make docs` builds it, and refuses links that lead nowhere and public names without a description."""
    listed = re.findall(r"^ +- (?:\w+: )?(.*\.md)$", (DOCS / "site/mkdocs.yml").read_text(), re.MULTILINE)
    assert {document.relative_to(ROOT).as_posix() for document in DOCUMENTS} <= set(listed)
    assert all((ROOT / path).exists() for path in listed)


def test_the_architecture_names_files_and_code_that_exist() -> None:
    """Every file by the end of its path, every package, and every name in backticks by its parts."""
    text = (DOCS / "architecture.md").read_text()
    folders = {folder: sorted((ROOT / folder).rglob("*.py")) for folder in ("ndabench", "tests", "examples")}
    files = [file.relative_to(ROOT).as_posix() for found in folders.values() for file in found]
    for named in re.findall(r"\w[\w/]*\.py", text):
        assert any(f"/{file}".endswith(f"/{named}") for file in files), named
    for package in re.findall(r"`([a-z_]+)/`", text):
        assert (ROOT / "ndabench" / package).is_dir() or f"tasks/{package}" in " ".join(files), package
    code = re.findall(r"`([\w.]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    words = set(re.findall(r"\w+", " ".join([*(file.read_text() for file in folders["ndabench"]), *files])))
    assert len(code) > 100
    for name in code:
        if not name.endswith((".py", ".html", ".json")) and name != "fd_mine":
            assert set(name.split(".")) <= words, name


def test_the_example_of_a_negative_is_one() -> None:
    with kept_registries():
        namespace = _executed(r"# my_negatives\.py.*?")
        parameters = NEGATIVES["upside_down"].by("corrected")
        assert parameters is not None
        assert parameters.function == "my_negatives:upside_down"
        images = torch.arange(32.0).reshape(2, 1, 4, 4)
        flipped = namespace["upside_down"](images, generator=torch.Generator(), share=0.5)
    assert torch.equal(flipped[..., :2], images[..., :2].flip(-2))
    assert torch.equal(flipped[..., 2:], images[..., 2:])
    assert set(parameters.parameters) == {"share"}


def test_the_example_of_an_extractor_is_one() -> None:
    with kept_registries():
        extractor = _executed(r"# my_extractor\.py.*?")["open_means"](device=torch.device("cpu"))
        entry = EXTRACTORS[extractor.name]
        assert extractor.protocol["extractor"] == "means"
    images = torch.randint(0, 256, (3, 1, 16, 16), dtype=torch.uint8)
    features, logits = extractor.forward(images)
    assert features.shape == (3, entry.dimension)
    assert len(logits) == 3
    assert features[0, 1] == images[0, 0, :4, 4:8].float().mean()


def _executed(pattern: str) -> dict[str, Any]:
    """The names that a Python snippet of docs/extending.md defines."""
    (snippet,) = re.findall(rf"^```python\n({pattern})^```", (DOCS / "extending.md").read_text(), re.M | re.S)
    namespace: dict[str, Any] = {}
    exec(compile(snippet, "extending.md", "exec"), namespace)
    return namespace


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
    if pa.types.is_dictionary(kind):  # how repeated texts are held in memory; a reader sees strings
        return _type(kind.value_type)
    return "list of strings" if pa.types.is_list(kind) else TYPES.get(kind, str(kind))


def test_the_snippet_reads_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives the mean test value of every arm and λ."""
    document = DOCS / "records.md"
    (snippet,) = re.findall(r"^```python\n(import pandas.*?)^```", document.read_text(), re.M | re.S)
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


@pytest.mark.parametrize("folder", ["reports/quickstart", "lambda=0.9/arm=none/run"])
def test_other_readers_see_the_rows_wherever_they_are(folder: str, tmp_path: Path) -> None:
    """By the snippets of docs/records.md, with another folder."""
    store = RecordStore(str(tmp_path / folder))
    store.write_trial(
        TrialRow(
            sweep="quickstart",
            trial_id="jigsaw-0",
            task="gan",
            dataset="digits",
            arm="jigsaw",
            lambda_=0.25,
            seed=0,
            config_json="{}",
            status="running",
        )
    )
    text = (DOCS / "records.md").read_text().replace("reports/quickstart", f"{tmp_path}/{folder}")
    (query,) = re.findall(r"^```sql\n(.*?)^```", text, re.M | re.S)
    ((statements, expression),) = re.findall(
        r"^```python\n(import polars.*?)\n\n(.*?)^```", text, re.M | re.S
    )
    namespace: dict[str, Any] = {}
    exec(statements, namespace)
    table = pyarrow.dataset.dataset(f"{tmp_path}/{folder}/trials").to_table(["arm", "lambda", "status"])
    frame = pd.read_parquet(f"{tmp_path}/{folder}/trials")[["arm", "lambda", "status"]]
    for rows in (
        duckdb.execute(query).fetchall(),
        eval(expression, namespace).rows(),
        [tuple(row.values()) for row in table.to_pylist()],
        list(frame.itertuples(index=False, name=None)),
    ):
        assert rows == [("jigsaw", 0.25, "running")]


def _ours(registry: Mapping[str, Any], module_of: Callable[[Any], str]) -> list[str]:
    """The names in a registry without those that other tests register."""
    return [name for name, entry in registry.items() if module_of(entry).startswith("ndabench.")]


@pytest.mark.parametrize(
    ("config", "files"),
    [
        (SweepConfig, ["sweep-file.md"]),
        (Resources, ["sweep-file.md", "cluster.md"]),
        (GanConfig, ["tasks.md"]),
        (DensityGanConfig, ["tasks.md"]),
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
        (having("points"), "tasks.md"),
        (_ours(TASKS, lambda task: task.build), "sweep-file.md"),
        (_ours(DATA_SETS, lambda entry: entry.config.__module__), "tasks.md"),
        (_ours(EVALUATIONS, lambda entry: entry.measure), "tasks.md"),
        (_ours(EXTRACTORS, lambda entry: entry.open), "tasks.md"),
        (_ours(METHODS, lambda entry: entry.build), "tasks.md"),
        (_ours(ENCODERS, lambda entry: entry.build), "tasks.md"),
        (_ours(NETWORKS, lambda entry: entry.build), "tasks.md"),
        (_ours(ADVERSARIAL_LOSSES, lambda entry: entry.build), "tasks.md"),
        (_ours(SAMPLERS, lambda entry: entry.config.__module__), "sweep-file.md"),
        (_ours(PRUNERS, lambda entry: entry.config.__module__), "sweep-file.md"),
        (_ours(TRACKERS, lambda entry: entry.make), "sweep-file.md"),
    ],
)
def test_every_name_in_a_registry_is_named(names: Iterable[str], file: str) -> None:
    assert set(names) <= _words_in_code((DOCS / file).read_text())


def test_what_is_known_of_each_extractor_is_in_the_table() -> None:
    text = (DOCS / "tasks.md").read_text()
    for name in _ours(EXTRACTORS, lambda entry: entry.open):
        entry = EXTRACTORS[name]
        own = "the model's size" if "model" in entry.takes else "as stored"
        size = own if entry.input_size is None else f"{entry.input_size}×{entry.input_size}"
        dimension = "the model's" if entry.dimension is None else entry.dimension
        seen = "{}, {:.3g} to {:.3g}".format(size, *entry.input_range)
        (row,) = re.findall(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
        assert row == f"| `{name}` | {dimension} | {seen} | {entry.resize} | {entry.weights} |"


def _words_in_code(text: str) -> set[str]:
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", prose))))


def test_paper_sweeps_say_how_many_epochs_their_steps_are() -> None:
    """An epoch is every whole batch of the training images, of which CIFAR has 45,000 after validation."""
    found = 0
    for path in sorted((ROOT / "sweeps/paper").glob("*.yaml")):
        text = path.read_text()
        claim = re.search(r"num_steps: (\d+) +# ([\d,]+) epochs of (?:about )?([\d,]+) (images|steps)", text)
        if claim is None:
            continue
        found += 1
        num_steps, epochs, size = (int(number.replace(",", "")) for number in claim.groups()[:3])
        batch_size, per_step = (
            int(match.group(1)) if (match := re.search(rf"\n  {key}: (\d+)", text)) else 1
            for key in ("batch_size", "num_discriminator_steps")
        )
        if claim.group(4) == "images":
            assert round(num_steps * per_step / (size // batch_size)) == epochs, path
        else:
            assert per_step == 1, path
            assert round(num_steps / size) == epochs, path
        if "cifar" in path.name:
            assert claim.group(4) == "images" or size == 45_000 // batch_size, path
    assert found >= 9
