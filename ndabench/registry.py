"""Registries: everything that a sweep file can name, and where its implementation lies.

A registry maps a name to an entry. An entry holds the configuration class, which is cheap to import, and
names its implementation as text, `"package.module:attribute"`, so that reading and planning a sweep never
import torch. Code outside ndabench adds an entry with `register`:

    from ndabench.tasks.definition import TaskDefinition
    from ndabench.tasks.registry import TASKS

    TASKS.register("toy", TaskDefinition(config=ToyConfig, build="my_package.toy:ToyTask", ...))

and a sweep file that needs it says `plugins: [my_package]`: the modules that are imported, in the sweep's
driver and in each trial, before anything else of the file is read.
"""

import importlib
import logging
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, SerializationInfo, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ndabench.config import Config, PartError, named
from ndabench.errors import UserError, unknown
from ndabench.plugins import EntryPoint, entry_points, load_entry, origin

Entry = TypeVar("Entry")

_log = logging.getLogger(__name__)


class Registry(Mapping[str, Entry], Generic[Entry]):
    """The known entries of one kind by name: ndabench's own, then those that were registered or that
    installed packages offer.

    `registry[name]` raises a `UserError` that lists the known names; `registry.get(name)` gives None. Names
    are known without importing the packages that offer them; `items` and `values` import all.
    """

    def __init__(self, kind: str, group: str, entries: Mapping[str, Entry]) -> None:
        """`kind` is what errors call an entry, such as `data set`; `group` that of the entry points by which
        installed packages offer more, such as `ndabench.datasets`."""
        self.kind, self.group = kind, group
        self._own, self._entries = frozenset(entries), dict(entries)

    def register(self, name: str, entry: Entry) -> None:
        """Adds an entry from outside; `ValueError` where another entry has the name.

        Adding the same entry again changes nothing, since a plugin's module may be imported twice.
        """
        if self._entries.setdefault(name, entry) != entry:
            raise ValueError(f"{self.kind} {name!r} is registered already; choose another name")

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            if name not in self._offered():
                raise unknown(self.kind, name, self)
            like = next(iter(self._entries.values()))
            self._entries.setdefault(name, load_entry(self._offered()[name], self.kind, type(like)))
        return self._entries[name]

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self:
            return default
        return self[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._offered()

    def __iter__(self) -> Iterator[str]:
        return iter({**self._entries, **self._offered()})

    def __len__(self) -> int:
        return len({**self._entries, **self._offered()})

    def items(self) -> ItemsView[str, Entry]:
        """The entries by name; a plugin that is broken is left out, with a line in the log."""
        return self._loaded().items()

    def values(self) -> ValuesView[Entry]:
        """As `items`."""
        return self._loaded().values()

    @property
    def at_hand(self) -> Mapping[str, Entry]:
        """The entries that need no import: ndabench's own, those that were registered, those used before."""
        return self._entries

    def origin(self, name: str) -> str:
        """The installed package that offers an entry, `my-package 1.0`; empty for all other entries."""
        return origin(self._offered()[name]) if name in self._offered() else ""

    def _offered(self) -> Mapping[str, Sequence[EntryPoint]]:
        """What installed packages offer; they cannot replace what is ndabench's own."""
        offered = entry_points(self.group)
        return {name: points for name, points in offered.items() if name not in self._own}

    def _loaded(self) -> dict[str, Entry]:
        for name in self._offered():
            try:
                self[name]
            except UserError as error:
                _warn_once(f"{error}; left out")
        for name in self._own & entry_points(self.group).keys():
            package = origin(entry_points(self.group)[name])
            _warn_once(f"plugin {package}: {self.kind} {name!r} is ndabench's own name; left out")
        return self._entries

    def where(self, chosen: Callable[[Entry], bool]) -> Mapping[str, Entry]:
        """The entries that are `chosen`, as a view that also shows later registrations."""
        return _Selection(self, chosen)


class _Selection(Mapping[str, Entry]):
    def __init__(self, registry: Registry[Entry], chosen: Callable[[Entry], bool]) -> None:
        self._registry, self._chosen = registry, chosen

    def __getitem__(self, name: str) -> Entry:
        entry = self._registry.get(name)
        if entry is None or not self._chosen(entry):
            raise unknown(self._registry.kind, name, self)
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._registry and self._chosen(self._registry[str(name)])

    def __iter__(self) -> Iterator[str]:
        return (name for name, entry in self._registry.items() if self._chosen(entry))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def _warn_once(problem: str) -> None:
    _log.warning("%s", problem)


def load(implementation: str) -> Any:
    """The object that `"package.module:attribute"` names; the module is imported now."""
    module, _, attribute = implementation.partition(":")
    return getattr(importlib.import_module(module), attribute)


class OneOf:
    """Annotates a field that holds the configuration of one entry of a registry, picked by its `name`.

        task: Annotated[TaskConfig, OneOf(TASKS)]

    The registry is read when a file is read, so entries registered later are found as well.
    """

    def __init__(
        self,
        registry: Mapping[str, Any],
        config_of: Callable[[Any], type[Config]] = lambda entry: entry.config,
        short_form: Callable[[Any], Any] = named,
        dumps_bare_names: bool = False,
    ) -> None:
        """`config_of` finds an entry's configuration class; `short_form` expands what may be written short,
        by default a bare name. With `dumps_bare_names` a configuration that has no key but its name is dumped
        as that name."""
        self._registry, self._config_of, self._short_form = registry, config_of, short_form
        self._dumps_bare_names = dumps_bare_names

    def classes(self) -> dict[str, type[Config]]:
        """The configuration classes that the field may hold now, by name."""
        return {name: self._config_of(entry) for name, entry in self._registry.items()}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(self._dump, info_arg=True),
        )

    def _validate(self, value: Any) -> Config:
        value = self._short_form(value)
        if isinstance(value, Config):
            kind = self._class_of(getattr(value, "name", None))
            if kind is not None and isinstance(value, kind):
                return value
        if not isinstance(value, Mapping):
            raise PydanticCustomError("model_type", "Input should be a mapping")
        if "name" not in value:
            raise PydanticCustomError("union_tag_not_found", "No name", {"discriminator": "'name'"})
        kind = self._class_of(name := value["name"])
        if kind is None:
            tags = ", ".join(f"'{known}'" for known in self._registry)
            context = {"discriminator": "'name'", "tag": str(name), "expected_tags": tags}
            raise PydanticCustomError("union_tag_invalid", "Unknown name", context)
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            raise PartError(kind, error) from None

    def _class_of(self, name: Any) -> type[Config] | None:
        """The configuration class of a name, None where it is unknown; no other plugin is imported."""
        known = isinstance(name, str) and name in self._registry
        return self._config_of(self._registry[name]) if known else None

    def _dump(self, config: Config, info: SerializationInfo) -> Any:
        dumped = config.model_dump(mode=info.mode, by_alias=bool(info.by_alias))
        return dumped["name"] if self._dumps_bare_names and set(dumped) == {"name"} else dumped
