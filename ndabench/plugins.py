"""Packages outside ndabench: how their entries are found, and what is recorded of those that a trial uses.

An installed package names its entries in its pyproject.toml, one entry point for each. Listing them imports
nothing; a package is imported when one of its entries is used:

    [project.entry-points."ndabench.negatives"]
    upside_down = "my_package:UPSIDE_DOWN"

A module that is not installed, such as a file next to the sweep file, registers its entries when it is
imported, and the sweep file says `plugins: [my_module]`.
"""

import hashlib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

from ndabench.errors import UserError

PREFIX = "ndabench."
"""Begins the groups of entry points: `ndabench.negatives`."""
INSTALLED = frozenset({"site-packages", "dist-packages"})
CODE = frozenset({".py", ".so", ".pyd"})
"""The files that make up a plugin's hash."""

EntryPoint = metadata.EntryPoint


def entry_points(group: str) -> Mapping[str, Sequence[EntryPoint]]:
    """What installed packages offer in a group, by name; nothing is imported."""
    return _groups(tuple(sys.path)).get(group, {})


@cache
def _groups(path: tuple[str, ...]) -> Mapping[str, Mapping[str, Sequence[EntryPoint]]]:
    """The entry points for ndabench by group and name, as `sys.path` is now."""
    found: dict[str, dict[str, list[EntryPoint]]] = {}
    offered = metadata.entry_points()
    for group in offered.groups:
        if group.startswith(PREFIX):
            for point in offered.select(group=group):
                found.setdefault(group, {}).setdefault(point.name, []).append(point)
    return found


def groups() -> Mapping[str, str]:
    """Every group in which installed packages offer something, with the packages that do."""
    found = _groups(tuple(sys.path)).items()
    return {group: origin([point for same in points.values() for point in same]) for group, points in found}


def origin(points: Sequence[EntryPoint]) -> str:
    """The packages that offer entry points: `my-package 1.0`."""
    packages = (
        f"{one.dist.name} {one.dist.version}" if one.dist is not None else one.module for one in points
    )
    return " and ".join(dict.fromkeys(packages))


def load_entry(points: Sequence[EntryPoint], kind: str, expected: type) -> Any:
    """The entry that the entry points of one name mean, its module imported now.

    `UserError`, which names the package, where that fails, gives no `expected`, or where there are several.
    """
    point, *others = points
    where = f"plugin {origin(points)}: {kind} {point.name!r}"
    if others:
        raise UserError(f"{where} is offered by both; uninstall one")
    try:
        entry = point.load()
    except Exception as error:  # importing another package may raise anything
        raise UserError(f"{where} cannot be loaded from {point.value} ({_reason(error)})") from None
    if not isinstance(entry, expected):
        raise UserError(f"{where}: {point.value} is of type {type(entry).__name__}, not {expected.__name__}")
    return entry


def import_plugins(modules: Sequence[str]) -> None:
    """Imports the modules that a sweep file lists under `plugins`; `UserError` for one that cannot be
    imported."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # importing another package may raise anything
            raise UserError(
                f"plugins: {module!r} cannot be imported ({_reason(error)}); "
                "install it, or put its folder on PYTHONPATH"
            ) from None


def plugins_first(value: Any) -> Any:
    """A validator that runs before the rest of a configuration is read, and imports its `plugins`."""
    plugins = value.get("plugins") if isinstance(value, Mapping) else None
    if isinstance(plugins, list | tuple) and all(isinstance(module, str) for module in plugins):
        import_plugins(plugins)
    return value


def used_plugins(config: Mapping[str, Any]) -> dict[str, dict[str, str | None]]:
    """The plugins that a dumped configuration uses: module to version and hash of its code as they are here.

    These are the modules under `plugins`, and those whose entry points have a name that occurs in it.
    """
    words = set(_words(config))
    found = {_home(module): _version(module) for module in config.get("plugins", ())}
    for offered in _groups(tuple(sys.path)).values():
        for point, *_ in (points for name, points in offered.items() if name in words):
            found[_home(point.module)] = point.dist.version if point.dist is not None else None
    return {module: {"version": found[module], "sha256": code_hash(module)} for module in sorted(found)}


def _words(value: Any) -> Iterator[str]:
    """All texts in a dumped configuration, keys included."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _words(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _words(item)
    elif isinstance(value, str):
        yield value


def _home(module: str) -> str:
    """The outermost regular package of a module; a module in no package is its own."""
    parts = module.split(".")
    for number in range(1, len(parts)):
        name = ".".join(parts[:number])
        spec = util.find_spec(name)
        if spec is not None and spec.origin is not None:  # a namespace, which has none, may be of many
            return name
    return module


def _version(module: str) -> str | None:
    home = _home(module)
    own = getattr(sys.modules.get(home), "__version__", None)
    if own is not None:
        return str(own)
    try:
        return metadata.version(home)
    except metadata.PackageNotFoundError:
        return None


def code_hash(module: str) -> str | None:
    """SHA-256 of the code of a package or module: of the names and contents of its files, in order."""
    place = location(module)
    if place is None:
        return None
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.suffix in CODE)
    digest = hashlib.sha256()
    for file in files:
        name = file.relative_to(place).as_posix() if file != place else file.name
        digest.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def location(module: str) -> Path | None:
    """The folder of a package, or the file of a module; None for what is neither."""
    spec = util.find_spec(module)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    place = Path(spec.origin)
    return place.parent if spec.submodule_search_locations is not None else place


def local_plugins(modules: Sequence[str]) -> list[Path]:
    """The files and folders of those `plugins` that are not installed: other machines do not have them."""
    homes = [home for home in map(_home, modules) if home not in sys.stdlib_module_names]
    places = dict.fromkeys(place for place in map(location, homes) if place is not None)
    return [place for place in places if not INSTALLED & set(place.parts)]


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
