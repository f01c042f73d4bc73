"""`ndabench list` and `explain`: what they say is what the registries and the classes hold."""

from collections.abc import Callable
from typing import Any

import pytest

from ndabench.command_line import run
from ndabench.config import Config
from ndabench.errors import UserError
from ndabench.planning.sweep_file import SweepConfig
from ndabench.reference.commands import explain, list_
from ndabench.reference.keys import Key, keys_of
from ndabench.reference.names import KINDS, config_of, meaning
from ndabench.yaml_reading import parse_yaml
from tests.registrations import toy_registered

ENTRIES = [(kind, name) for kind, registry in KINDS.items() for name in registry]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("COLUMNS", "200")

    def say(command: Callable[..., None], *words: str) -> str:
        command(*words)
        return capsys.readouterr().out

    return say


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_name_says_what_it_means(kind: str, name: str) -> None:
    text = meaning(KINDS[kind][name])
    assert text.endswith((".", ":", ")"))
    assert not text.startswith("Usage docs")  # pydantic's own


def _classes() -> dict[str, type[Config]]:
    """Every configuration class that a sweep file can hold, however deep."""
    found: dict[str, type[Config]] = {}
    waiting = [SweepConfig, *(config_of(KINDS[kind][name]) for kind, name in ENTRIES)]
    while waiting:
        config = waiting.pop()
        if config is not None and config.__qualname__ not in found:
            found[config.__qualname__] = config
            waiting += [choice for key in keys_of(config) for choice in key.choices.values()]
    return found


@pytest.mark.parametrize("config", _classes().values(), ids=_classes())
def test_types_and_defaults_of_all_keys(config: type[Config]) -> None:
    """The default is YAML that gives the default again."""
    for key in keys_of(config):
        assert "see docs" not in key.holds, key
        field = next(one for name, one in config.model_fields.items() if key.name in (name, one.alias))
        if key.default == "required":
            assert field.is_required()
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        if isinstance(default, int | float | str | None):
            assert parse_yaml(key.default) == default or str(default) == key.default


def test_a_key_says_type_range_default_and_meaning() -> None:
    (key,) = (one for one in keys_of(KINDS["evaluations"]["fd"].config) if one.name == "num_samples")
    assert key == Key(
        "num_samples",
        "whole number, 2 to 10,000,000",
        "10000",
        "Generated images; they are compared with the whole split.",
        {},
    )


def test_list_names_everything(said: Callable[..., str]) -> None:
    every = said(list_, "")
    for kind, name in ENTRIES:
        assert kind in every
        assert name in every
        assert name in said(list_, kind).split()
    assert "paper/dpc" in said(list_, "sweeps").splitlines()


def test_plugins_are_listed_too(said: Callable[..., str]) -> None:
    with toy_registered():
        assert "toy_lines" in said(list_, "trackers")
        assert "toy_lines (trackers)" in said(explain, "toy_lines")


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("seeds", "whole number, 0 to below 4,294,967,296"),
        ("jigsaw", "a whole number, must lie in [2, 64]"),
        ("dataset", "same_class"),
        ("gan", "num_discriminator_steps"),
        ("task.gan.ema", "time constant as a share"),
        ("gan.losses", "one of: hinge"),
        ("gan.losses.hinge", "with which the paper trains"),
        ("resources.workers", "1 to 10,000"),
        ("arms.name", "required"),
    ],
)
def test_explain(said: Callable[..., str], path: str, part: str) -> None:
    assert part in " ".join(said(explain, path).split())


@pytest.mark.parametrize(
    ("command", "word", "message"),
    [
        (list_, "negative", "list: unknown kind 'negative'; did you mean 'negatives'?"),
        (explain, "sede", "explain: unknown key or name 'sede'; did you mean 'seeds'?"),
        (explain, "fd.num_sample", "explain: unknown key 'num_sample'; did you mean 'num_samples'?"),
        (explain, "losses", "explain: losses is a key of gan.losses, density_gan.losses; say which"),
        (explain, "seeds.x", "explain: unknown key 'x'"),
        (explain, "", "explain: unknown key or name ''"),
    ],
)
def test_unknown_words(command: Callable[..., None], word: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        command(word)
    assert str(raised.value).startswith(message)


def test_the_commands_have_their_names(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.argv", ["ndabench", "--help"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit):
        run(list_, explain)
    shown = capsys.readouterr().out
    assert "list " in shown
    assert "explain " in shown
