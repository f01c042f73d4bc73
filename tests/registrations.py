"""Entries that a test registers and that other tests must not see."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ndabench.augmentations.registry import NEGATIVES
from ndabench.data.registry import DATA_SETS
from ndabench.metrics.generators.extractor_registry import EXTRACTORS
from ndabench.metrics.registry import EVALUATIONS
from ndabench.planning.pruners import PRUNERS
from ndabench.planning.samplers import SAMPLERS
from ndabench.registry import Registry, load
from ndabench.tasks.contrastive.encoders import ENCODERS
from ndabench.tasks.contrastive.methods import METHODS
from ndabench.tasks.gan.losses import ADVERSARIAL_LOSSES
from ndabench.tasks.gan.networks import NETWORKS
from ndabench.tasks.registry import TASKS
from ndabench.tracking.registry import TRACKERS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which comes with pytest


PLUGIN = Path(__file__).parents[1] / "examples/plugin"
REGISTRIES: tuple[Registry[Any], ...] = (
    TASKS,
    DATA_SETS,
    NEGATIVES,
    EVALUATIONS,
    EXTRACTORS,
    NETWORKS,
    METHODS,
    TRACKERS,
    ENCODERS,
    ADVERSARIAL_LOSSES,
    SAMPLERS,
    PRUNERS,
)


@contextmanager
def kept_registries() -> Iterator[None]:
    """Inside, packages may register what they like; afterwards it and they are forgotten."""
    before, modules = [dict(registry.at_hand) for registry in REGISTRIES], set(sys.modules)
    try:
        yield
    finally:
        for registry, entries in zip(REGISTRIES, before, strict=True):
            registry._entries = entries
        for name in set(sys.modules) - modules:
            if name.partition(".")[0] == "ndabench_toy":
                del sys.modules[name]


def import_toy() -> ModuleType:
    """The package of `examples/plugin`, with its entry points registered; call it in `kept_registries`."""
    if str(PLUGIN) not in sys.path:
        sys.path.insert(0, str(PLUGIN))
    by_group = {registry.group: registry for registry in REGISTRIES}
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    for group, points in project["entry-points"].items():
        for name, value in points.items():
            by_group[group].register(name, load(value))
    return importlib.import_module("ndabench_toy")


@contextmanager
def toy_registered() -> Iterator[ModuleType]:
    """Inside, the toy package's entries are known."""
    with kept_registries():
        yield import_toy()
