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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, SerializationInfo, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ndabench.config import Config, PartError, named
from ndabench.errors import UserError, unknown

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """The known entries of one kind by name, in the order in which they were added.

    `registry[name]` raises a `UserError` that lists the known names; `registry.get(name)` gives None.
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry]) -> None:
        """`kind` is what errors call an entry, such as `data set`."""
        self.kind = kind
        self._entries = dict(entries)

    def register(self, name: str, entry: Entry) -> None:
        """Adds an entry from outside; `ValueError` where another entry has the name.

        Adding the same entry again changes nothing, since a plugin's module may be imported twice.
        """
        if self._entries.setdefault(name, entry) != entry:
            raise ValueError(f"{self.kind} {name!r} is registered already; choose another name")

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries)
        return self._entries[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self._entries.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

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
        return any(name == known for known in self)

    def __iter__(self) -> Iterator[str]:
        return (name for name, entry in self._registry.items() if self._chosen(entry))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def load(implementation: str) -> Any:
    """The object that `"package.module:attribute"` names; the module is imported now."""
    module, _, attribute = implementation.partition(":")
    return getattr(importlib.import_module(module), attribute)


def import_plugins(modules: Sequence[str]) -> None:
    """Imports the modules that a sweep file lists under `plugins`; `UserError` for one that cannot be
    imported."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # importing another package may raise anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"plugins: {module!r} cannot be imported ({reason}); "
                "install it, or put its folder on PYTHONPATH"
            ) from None


def plugins_first(value: Any) -> Any:
    """A validator that runs before the rest of a configuration is read, and imports its `plugins`."""
    plugins = value.get("plugins") if isinstance(value, Mapping) else None
    if isinstance(plugins, list | tuple) and all(isinstance(module, str) for module in plugins):
        import_plugins(plugins)
    return value


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
        classes = self.classes()
        if isinstance(value, Config) and isinstance(value, tuple(classes.values())):
            return value
        if not isinstance(value, Mapping):
            raise PydanticCustomError("model_type", "Input should be a mapping")
        if "name" not in value:
            raise PydanticCustomError("union_tag_not_found", "No name", {"discriminator": "'name'"})
        name = value["name"]
        if not isinstance(name, str) or name not in classes:
            tags = ", ".join(f"'{known}'" for known in classes)
            context = {"discriminator": "'name'", "tag": str(name), "expected_tags": tags}
            raise PydanticCustomError("union_tag_invalid", "Unknown name", context)
        try:
            return classes[name].model_validate(value)
        except ValidationError as error:
            raise PartError(classes[name], error) from None

    def _dump(self, config: Config, info: SerializationInfo) -> Any:
        dumped = config.model_dump(mode=info.mode, by_alias=bool(info.by_alias))
        return dumped["name"] if self._dumps_bare_names and set(dumped) == {"name"} else dumped
