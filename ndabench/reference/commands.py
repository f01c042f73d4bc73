"""`ndabench list` and `ndabench explain`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ndabench.command_line import JSON, print_json
from ndabench.errors import UserError, first_of, unknown

if TYPE_CHECKING:
    from ndabench.config import Config
    from ndabench.reference.keys import Key, Named


def list_(
    kind: Annotated[str, typer.Argument(help="What to list, e.g. negatives; default: the kinds.")] = "",
    json_: Annotated[bool, JSON] = False,
) -> None:
    """List what a sweep file can name: tasks, datasets, negatives, evaluations and so on."""
    # late: --help must not wait for pydantic
    from ndabench.planning.bundled import bundled_names
    from ndabench.reference.names import KINDS, described, unknown_groups

    if kind and kind not in KINDS and kind != "sweeps":
        raise UserError(f"list: {unknown('kind', kind, [*KINDS, 'sweeps'])}")
    if json_:
        names: Mapping[str, Any] = {**KINDS, "sweeps": bundled_names()}
        print_json(
            described(KINDS[kind])
            if kind in KINDS
            else {one: list(names[one]) for one in names if kind in ("", one)}
        )
    elif kind == "sweeps":
        print("\n".join(bundled_names()))
    elif kind:
        _print_lines(described(KINDS[kind]))
    else:
        _print_lines({name: ", ".join(names) for name, names in {**KINDS, "sweeps": bundled_names()}.items()})
        print("more: ndabench list KIND, and ndabench explain NAME for the keys of a name")
        print("".join(f"caution: {problem}\n" for problem in unknown_groups()), end="")


def explain(
    key: Annotated[
        str, typer.Argument(help="A key or a name, e.g. seeds, gan, fd.num_samples, task.gan.ema.")
    ],
) -> None:
    """Say what a key of the sweep file, or a name in it, means: type, default, range, meaning."""
    from ndabench.reference.keys import Key, keys_of  # late: --help must not wait for pydantic

    place = _find(key)
    if not isinstance(place, Key):
        Console().print(Text.assemble((place.title, "bold"), "  ", place.meaning))
        _print_keys(place.keys)
        return
    Console().print(Text(place.name, style="bold"))
    facts = {"type": place.holds, "default": place.default, "meaning": place.meaning}
    _print_lines({f"  {name}": fact for name, fact in facts.items() if fact})
    if set(place.choices) == {""}:
        _print_keys(keys_of(place.choices[""]))


def _find(path: str) -> "Key | Named":
    """What a path such as `task.gan.ema` leads to; `UserError` where it leads nowhere."""
    # late: --help must not wait for pydantic
    from ndabench.planning.sweep_file import SweepConfig
    from ndabench.reference.keys import Named, keys_of
    from ndabench.reference.names import KINDS, config_of, meaning

    first, *rest = path.split(".")
    known: dict[str, Key | Named] = {}
    for kind, registry in KINDS.items():
        if first in registry:
            config = config_of(entry := registry[first])
            keys = keys_of(config) if config else _parameters(entry)
            known[first] = Named(f"{first} ({kind})", meaning(entry), keys)
    known |= {one.name: one for one in keys_of(SweepConfig)}
    if first not in known:
        if owners := [f"{name}.{first}" for name, config in _configured() if first in config.model_fields]:
            raise UserError(f"explain: {first} is a key of {first_of(owners)}; say which, e.g. {owners[0]}")
        names = {name for registry in KINDS.values() for name in registry}
        raise UserError(f"explain: {unknown('key or name', first, [*known, *names])}")
    place = known[first]
    for name in rest:
        inside = _inside(place)
        if name not in inside:
            raise UserError(f"explain: {unknown('key', name, inside)}")
        place = inside[name]
    return place


def _configured() -> "Iterator[tuple[str, type[Config]]]":
    """Every name that has keys, with the class that holds them."""
    # late: --help must not wait for pydantic
    from ndabench.reference.names import KINDS, config_of

    for registry in KINDS.values():
        for name, entry in registry.items():
            if (config := config_of(entry)) is not None:
                yield name, config


def _inside(place: "Key | Named") -> "Mapping[str, Key | Named]":
    # late: --help must not wait for pydantic
    from ndabench.reference.keys import Named, keys_of
    from ndabench.reference.names import first_paragraph

    if isinstance(place, Named):
        return {one.name: one for one in place.keys}
    found: dict[str, Key | Named] = {}
    for name, config in place.choices.items():
        if name:
            found[name] = Named(name, first_paragraph(config.__doc__), keys_of(config))
        else:
            found |= {one.name: one for one in keys_of(config)}
    return found


def _parameters(entry: Any) -> "list[Key]":
    """The parameters of a negative, which has no configuration class."""
    # late: --help must not wait for pydantic
    from ndabench.reference.keys import Key
    from ndabench.reference.names import rule_of

    rule = rule_of(entry)
    parameters = rule.parameters if rule is not None else {}
    return [Key(name, one.described, str(one.default), "", {}) for name, one in parameters.items()]


def _print_lines(lines: Mapping[str, str]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    for name, text in lines.items():
        table.add_row(Text(name), Text(text))
    Console().print(table)


def _print_keys(keys: "Sequence[Key]") -> None:
    if not keys:
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("key", no_wrap=True)
    for name, ratio in (("type", 1), ("default", 1), ("meaning", 2)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for key in keys:
        table.add_row(*map(Text, (key.name, key.holds, key.default, key.meaning)))
    Console().print(table)
