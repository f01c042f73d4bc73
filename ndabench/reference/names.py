"""The kinds of names that a sweep file can use, and what each name means. Nothing here imports torch."""

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ndabench.augmentations.registry import NEGATIVES, Implementation, NegativeEntry
from ndabench.config import Config
from ndabench.data.registry import DATA_SETS
from ndabench.errors import nearest
from ndabench.metrics.generators.extractor_registry import EXTRACTORS
from ndabench.metrics.registry import EVALUATIONS
from ndabench.planning.pruners import PRUNERS
from ndabench.planning.samplers import SAMPLERS
from ndabench.plugins import PREFIX, groups
from ndabench.registry import Registry, load
from ndabench.tasks.contrastive.encoders import ENCODERS
from ndabench.tasks.contrastive.methods import METHODS
from ndabench.tasks.gan.losses import ADVERSARIAL_LOSSES
from ndabench.tasks.gan.networks import NETWORKS
from ndabench.tasks.registry import TASKS
from ndabench.tracking.registry import TRACKERS

KINDS: Mapping[str, Registry[Any]] = {
    "tasks": TASKS,
    "datasets": DATA_SETS,
    "negatives": NEGATIVES,
    "evaluations": EVALUATIONS,
    "extractors": EXTRACTORS,
    "networks": NETWORKS,
    "losses": ADVERSARIAL_LOSSES,
    "methods": METHODS,
    "encoders": ENCODERS,
    "samplers": SAMPLERS,
    "schedulers": PRUNERS,
    "trackers": TRACKERS,
}
"""The registries by the name of what they hold, in the order in which a newcomer meets them."""


def described(registry: Registry[Any]) -> dict[str, str]:
    """What each name means, and which installed package offers it."""
    packages = {name: f" ({package})" for name in registry if (package := registry.origin(name))}
    return {name: meaning(entry) + packages.get(name, "") for name, entry in registry.items()}


def unknown_groups() -> Iterator[str]:
    """A line for each group of entry points that installed packages offer in vain."""
    known = [f"{PREFIX}{kind}" for kind in KINDS]
    for group, packages in groups().items():
        if group not in known:
            yield f"plugin {packages}: there is no group of entry points {group!r}{nearest(group, known)}"


def meaning(entry: Any) -> str:
    """The first paragraph of an entry's own documentation; empty where it has none."""
    config, path = config_of(entry), _implementation(entry)
    return first_paragraph(config.__doc__ if config else documentation(path) if path else None)


def first_paragraph(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def config_of(entry: Any) -> type[Config] | None:
    """The class that holds the entry's keys; None for entries without."""
    if isinstance(entry, NegativeEntry):
        return load(entry.configured.config) if entry.configured is not None else None
    config = getattr(entry, "config", None)
    return config if isinstance(config, type) and issubclass(config, Config) else None


def rule_of(entry: Any) -> Implementation | None:
    """The rule of a negative that is for most kinds of data; None for what is no negative, or has no rule."""
    if not isinstance(entry, NegativeEntry):
        return None
    return next((rule for rule in (entry.images, entry.clips, entry.points, entry.pairs) if rule), None)


def _implementation(entry: Any) -> str | None:
    """`"module:attribute"` of what the entry names."""
    rule = rule_of(entry)
    return rule.function if rule is not None else getattr(entry, "open", None)


def documentation(path: str) -> str | None:
    """The docstring of `"module:attribute"`, read from its source: the module, which may need torch, is not
    imported."""
    module, _, attribute = path.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == attribute:
            return ast.get_docstring(node)
    return None
