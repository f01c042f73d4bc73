"""What every registered task keeps to, the toy of `examples/plugin` included.

A task gets resuming, logging, divergence checks and evaluations from `Trainer`; these tests hold the two
together: change the loop, or leave something out of a task's state, and they fail.
"""

import importlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch

from ndabench.config import parse
from ndabench.data.negatives import DatasetNegative
from ndabench.data.negatives_config import DatasetNegativeConfig
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics import evaluating, probing
from ndabench.metrics.clip_encoders.config import RetrievalConfig
from ndabench.metrics.generators.config import FrechetConfig
from ndabench.metrics.image_encoders.config import KnnConfig, LinearProbeSgdConfig
from ndabench.metrics.points.config import (
    DiscriminatorDistanceConfig,
    MassOutsideConfig,
    TotalVariationConfig,
    Wasserstein2Config,
)
from ndabench.metrics.results import Evaluated, EvaluationProgress
from ndabench.metrics.translators.config import L1Config
from ndabench.tasks.contrastive.task import ContrastiveTask
from ndabench.tasks.density_gan.task import DensityGanTask
from ndabench.tasks.exports import ExportsNetworks, program_file, weights_file
from ndabench.tasks.gan.task import GanTask
from ndabench.tasks.paired.task import PairedGanTask
from ndabench.tasks.registry import TASKS
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import DivergedError, Task
from ndabench.tasks.trainer import Trainer, build_trainer
from tests.registrations import import_toy, toy_registered
from tests.tasks import contrastive_toys, density_toys, gan_toys, paired_toys, video_toys
from tests.tasks.closeness import assert_close
from tests.tasks.gan_toys import differences, leaves
from tests.two_workers import by_one_worker, on_two_workers

if TYPE_CHECKING:
    from ndabench_toy.training import GaussianTask

    from tests.video_stand_in import StandIn

NUM_STEPS = 4
STEPS = {"num_steps": NUM_STEPS, "log_every": 1, "checkpoint_every": 1}


def all_follow_the_protocol(
    gan: GanTask,
    contrastive: ContrastiveTask,
    paired: PairedGanTask,
    density: DensityGanTask,
    toy: "GaussianTask",
    video: "StandIn",
) -> list[Task]:
    """Never called: here the type checker says what a task lacks of `Task`."""
    return [gan, contrastive, paired, density, toy, video]


@pytest.fixture(scope="module", autouse=True)
def toy_is_registered() -> Iterator[None]:
    """For these tests alone: others list what there is."""
    with toy_registered():
        yield


def _fd() -> FrechetConfig:
    import_toy()
    return FrechetConfig(extractor="toy_pixels", num_samples=16, every=2)


def _gan(**config: Any) -> Callable[..., TrialSetup]:
    def setup(**changes: Any) -> TrialSetup:
        keys: dict[str, Any] = {"negative": gan_toys.JIGSAW, "lambda_": 0.25, "horizontal_flip": True}
        own = gan_toys.toy_config(**{**STEPS, **config})
        return TrialSetup(own, gan_toys.toy_data(16), **{**keys, "evaluations": [_fd()], **changes})

    return setup


@pytest.fixture(autouse=True)
def pauses_inside_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """After every epoch of a probe, however short it is."""
    monkeypatch.setattr(probing, "STEPS_BETWEEN_PAUSES", 1)


def _images(method: Any) -> Callable[..., TrialSetup]:
    def setup(**changes: Any) -> TrialSetup:
        evaluations = [KnnConfig(every=2, neighbours=5), LinearProbeSgdConfig(num_epochs=3, batch_size=16)]
        keys = {"negative": contrastive_toys.STITCH, "lambda_": 1.0, "evaluations": evaluations}
        own = contrastive_toys.toy_settings(**STEPS, method=method, batch_size=16, learning_rate=0.01)
        return TrialSetup(own, contrastive_toys.toy_pictures(size=16), **{**keys, **changes})

    return setup


def _clips(**config: Any) -> Callable[..., TrialSetup]:
    def setup(**changes: Any) -> TrialSetup:
        evaluations = [RetrievalConfig(every=2)]
        keys = {"negative": video_toys.SPLICE, "lambda_": 1.0, "evaluations": evaluations}
        return TrialSetup(
            video_toys.toy_settings(**STEPS, **config), video_toys.toy_videos(), **{**keys, **changes}
        )

    return setup


def _pairs(**changes: Any) -> TrialSetup:
    keys = {"negative": paired_toys.JIGSAW, "lambda_": 0.25, "horizontal_flip": True}
    evaluations = [L1Config(every=2), _fd()]
    return TrialSetup(
        paired_toys.toy_config(**STEPS),
        paired_toys.toy_pairs(),
        **{**keys, "evaluations": evaluations, **changes},
    )


def _toy(**changes: Any) -> TrialSetup:
    ndabench_toy = import_toy()
    upside_down = importlib.import_module("ndabench_toy.negatives").upside_down
    brightness = ndabench_toy.BrightnessConfig(num_samples=8)
    keys = {"negative": upside_down, "lambda_": 0.5, "evaluations": [_fd(), brightness]}
    return TrialSetup(ndabench_toy.GaussianConfig(**STEPS), gan_toys.toy_data(), **{**keys, **changes})


def _gan_against_dots(**changes: Any) -> TrialSetup:
    """Negatives that are images of another data set."""
    dots = {
        "name": "dots",
        "count": [1, 2],
        "channels": 1,
        "image_size": 16,
        "smallest": 0.1,
        "largest": 0.12,
    }
    config = parse(DatasetNegativeConfig, {"data": {**dots, "num_images": 40}}, "negative")
    keys = {"negative": DatasetNegative(config), "negative_data": ("0a1b",)}
    settings = {"losses": "wasserstein_gp", "network": "dcgan", "width": 4, "learning_rate": 1e-3}
    return _gan(conditional=True, **settings)(**{**keys, **changes})


def _gan_of_toys(**changes: Any) -> TrialSetup:
    """Networks and losses from outside."""
    import_toy()
    return _gan(network="toy_mlp", losses="toy_least_squares", learning_rate=1e-3)(**changes)


def _method_of_toys(**changes: Any) -> TrialSetup:
    """A method and an encoder from outside."""
    import_toy()
    keys = {"evaluations": [KnnConfig(every=2, neighbours=5)], "negative": contrastive_toys.STITCH}
    own = contrastive_toys.toy_settings(**STEPS, method="toy_pull", encoder="toy_means")
    return TrialSetup(own, contrastive_toys.toy_pictures(), **{"lambda_": 1.0, **keys, **changes})


def _points(losses: str, *evaluations: Any, **config: Any) -> Callable[..., TrialSetup]:
    def setup(**changes: Any) -> TrialSetup:
        own = density_toys.toy_config(**STEPS, losses=losses, gradient_penalty=0.5, picture_every=2, **config)
        keys = {"negative": density_toys.between(0.2), "lambda_": 0.25, "evaluations": evaluations}
        return TrialSetup(own, density_toys.toy_points(), **{**keys, **changes})

    return setup


SETUPS: dict[str, Callable[..., TrialSetup]] = {
    "gan": _gan(),
    "gan against dots": _gan_against_dots,
    "conditional gan": _gan(conditional=True, losses="non_saturating", reference=True),
    "pairs": _pairs,
    "density gan": _points(
        "non_saturating",
        MassOutsideConfig(every=2, num_samples=100),
        TotalVariationConfig(every=2, num_samples=100),
        DiscriminatorDistanceConfig(num_samples=100),
    ),
    "wasserstein density gan": _points("wasserstein_gp", Wasserstein2Config(every=2, num_samples=100)),
    "moco": _images({**contrastive_toys.SYMMETRIC, "queue_size": 64}),
    "simclr": _images("simclr"),
    "dpc": _clips(),
    "clip moco": _clips(method=video_toys.MOCO),
    "toy": _toy,
    "gan of toys": _gan_of_toys,
    "method of toys": _method_of_toys,
}
every_task = pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS.keys())
ENCODERS = ("moco", "simclr", "dpc", "clip moco")
every_task_again_and_again = pytest.mark.parametrize(
    "setup",
    [
        pytest.param(setup, id=name, marks=pytest.mark.slow if name in ENCODERS else ())
        for name, setup in SETUPS.items()
    ],
)
"""For what trains several times: encoders take seconds."""


def test_the_suite_runs_over_every_task_of_ours_and_the_toy() -> None:
    ours = {name for name, task in TASKS.items() if task.config.__module__.startswith("ndabench.")}
    assert {setup().config.name for setup in SETUPS.values()} == ours | {"toy_gaussian"}


def _values(progress: Any) -> dict[str, float]:
    return {name: one.value for name, one in progress.metrics.items()}


def _history(trainer: Trainer) -> dict[int, dict[str, float]]:
    """What was measured at each step; a step that is yielded again without metrics changes nothing."""
    found: dict[int, dict[str, float]] = {}
    for progress in trainer.run():
        found.setdefault(progress.step, {}).update(_values(progress))
    return found


def _through_a_file(state: Mapping[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


@every_task_again_and_again
def test_the_same_seed_gives_the_same_curve_and_another_seed_another(setup: Any) -> None:
    first, second, other = (build_trainer(setup(seed=seed)) for seed in (0, 0, 1))
    histories = [_history(trainer) for trainer in (first, second, other)]
    assert histories[0] == histories[1]
    assert histories[0] != histories[2]
    assert differences(first.state_dict(), second.state_dict()) == []


@every_task_again_and_again
def test_killed_at_any_pause_and_resumed_it_ends_the_same(setup: Any) -> None:
    whole = build_trainer(setup())
    states: list[tuple[int, Mapping[str, Any]]] = []
    history: dict[int, dict[str, float]] = {}
    for progress in whole.run():
        states.append((progress.step, whole.state_dict()))
        history.setdefault(progress.step, {}).update(_values(progress))
    assert {step for step, _ in states} == set(range(NUM_STEPS + 1))
    for step, state in states:
        resumed = build_trainer(setup())
        resumed.load_state_dict(_through_a_file(state))
        expected = {later: values for later, values in history.items() if later > step}
        found = _history(resumed)
        assert {later: found[later] for later in expected} == expected
        if step == NUM_STEPS:
            assert found[NUM_STEPS] == history[NUM_STEPS]
        assert differences(resumed.state_dict(), whole.state_dict()) == []


@every_task_again_and_again
def test_a_checkpoint_from_a_card_continues_on_a_cpu(setup: Any) -> None:
    """From the same weights, with draws that are new and the same every time; a note says so."""
    first = build_trainer(setup(evaluations=()))
    next(progress for progress in first.run() if progress.step == NUM_STEPS // 2)
    state = first.state_dict()
    from_a_card = {
        **state,
        "streams": {name: _cuda_state(number) for number, name in enumerate(state["streams"])},
    }
    ends = []
    for _ in range(2):
        moved = build_trainer(setup(evaluations=()))
        moved.load_state_dict(_through_a_file(from_a_card))
        rest = {part: value for part, value in moved.state_dict().items() if part != "streams"}
        assert differences(rest, {part: state[part] for part in rest}) == []
        drawn = {tuple(stream.get_state().tolist()) for stream in moved.task.streams.values()}
        assert len(drawn) == len(moved.task.streams), "no two streams are the same"
        notes = [progress.notes for progress in moved.run()]
        assert len(notes[0]) == 1
        assert notes[0][0].startswith("continued from step 2 on another kind of device")
        assert not any(notes[1:])
        ends.append(moved.state_dict())
    assert differences(*ends) == []


def _cuda_state(seed: int) -> torch.Tensor:
    """What a generator on CUDA gives as its state: its seed and its offset."""
    return torch.tensor([seed, 4 * seed]).view(torch.uint8)


@every_task_again_and_again
def test_an_evaluation_that_is_done_is_not_done_again(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between two evaluations of the last step, a trial measures only what is left."""
    finished: list[str] = []

    def counted(*arguments: Any, **keywords: Any) -> Iterator[Evaluated | EvaluationProgress]:
        for news in evaluating.evaluate(*arguments, **keywords):
            if isinstance(news, Evaluated):
                finished.append(news.evaluation)
            yield news

    monkeypatch.setattr("ndabench.tasks.trainer.evaluate", counted)
    whole = build_trainer(setup())
    states = []
    for progress in whole.run():
        if progress.step == NUM_STEPS:
            states.append((list(finished), whole.state_dict()))
    keys = [evaluation.key for evaluation in setup().evaluations]
    assert finished[-len(keys) :] == keys, "each once, in the order of the file"
    before_last = len(finished) - len(keys)
    for done, state in states[:-1]:
        finished.clear()
        resumed = build_trainer(setup())
        resumed.load_state_dict(_through_a_file(state))
        list(resumed.run())
        assert finished == keys[len(done) - before_last :]


@every_task_again_and_again
def test_evaluations_and_pictures_leave_no_trace_in_training(setup: Any) -> None:
    quiet, watched = build_trainer(setup(evaluations=())), build_trainer(setup())
    list(quiet.run())
    list(watched.run())
    assert differences(quiet.state_dict(), watched.state_dict()) == []


@every_task_again_and_again
def test_a_plain_lambda_trains_without_the_negative(setup: Any) -> None:
    def never(images: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
        raise AssertionError("must not be drawn")

    plain = TASKS[setup().config.name].lambda_rule.baseline
    without = build_trainer(setup(negative=None, lambda_=plain))
    weightless = build_trainer(setup(negative=never, lambda_=plain))
    assert _history(without) == _history(weightless)
    assert differences(without.state_dict(), weightless.state_dict()) == []


@every_task
def test_a_weight_that_is_not_a_number_is_reported_with_its_step(setup: Any) -> None:
    trainer = build_trainer(setup())
    run = trainer.run()
    next(progress for progress in run if progress.step == 1)
    network = next(iter(trainer.task.networks().values()))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"^.+ is nan at step 2$"):
        list(run)


@every_task
def test_the_state_is_plain_and_holds_nothing_that_is_not_needed(setup: Any) -> None:
    trainer = build_trainer(setup())
    list(trainer.run())
    state = trainer.state_dict()
    kinds = (torch.Tensor, bool, int, float, str, type(None))
    assert all(isinstance(leaf, kinds) for leaf in leaves(state).values())
    fresh = build_trainer(setup())
    for part in state:
        rest = {name: value for name, value in state.items() if name != part}
        with pytest.raises((UserError, KeyError)):
            fresh.load_state_dict(rest)


@every_task
@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (
            lambda state: {**state, "made_by": {**state["made_by"], "seed": 7}},
            "belongs to another training: its seed",
        ),
        (lambda state: {"weights": torch.zeros(3)}, "belongs to another training"),
        (lambda state: {k: v for k, v in state.items() if k != "curves"}, "the checkpoint has no curves"),
    ],
)
def test_the_state_of_something_else_is_refused_in_one_line(setup: Any, spoil: Any, line: str) -> None:
    state = spoil(build_trainer(setup()).state_dict())
    with pytest.raises(UserError, match=line) as raised:
        build_trainer(setup()).load_state_dict(state)
    assert "\n" not in str(raised.value)


@every_task
def test_the_callers_gradient_mode_and_random_state_are_left_alone(setup: Any) -> None:
    state = torch.get_rng_state()
    for _ in build_trainer(setup()).run():
        assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)


@every_task
def test_a_batch_that_the_workers_cannot_share_is_refused(setup: Any) -> None:
    with pytest.raises(UserError, match="cannot be shared equally by 7 workers"):
        build_trainer(setup(workers=Workers(world_size=7)))


def _two_steps(workers: Workers) -> dict[str, Any]:
    """The losses of two steps of every task, and what its networks are then."""
    found = {}
    for name, setup in SETUPS.items():
        whole = setup(workers=workers, seed=1)
        trainer = build_trainer(replace(whole, config=whole.config.model_copy(update={"num_steps": 2})))
        history = _history(trainer)
        networks = {key: one.state_dict() for key, one in trainer.task.networks().items()}
        found[name] = {"history": history, "networks": networks}
    return found


@pytest.mark.slow
def test_two_workers_take_the_steps_of_one_at_the_same_global_batch(tmp_path: Path) -> None:
    """Equal on both workers bit for bit; the first loss equals that of one worker to 1e-4, the second, after
    a step of the optimisers, to 1e-2 (Adam makes a step out of a gradient that is zero up to rounding)."""
    main, other = on_two_workers(_two_steps, tmp_path)
    alone = by_one_worker(_two_steps)
    for name in SETUPS:
        assert differences(main[name]["networks"], other[name]["networks"]) == [], name
        assert main[name]["history"] == other[name]["history"], name
        for step, tolerance in ((1, 1e-4), (2, 1e-2)):
            ours, theirs = (
                {key: value for key, value in run[name]["history"][step].items() if "loss" in key}
                for run in (main, alone)
            )
            assert ours, name
            assert_close(ours, theirs, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("gan", "moco", "dpc", "clip moco", "pairs", "density gan"),
        pytest.param("conditional gan", marks=pytest.mark.release),
    ],
)
def test_an_exported_program_gives_what_its_network_gives(name: str) -> None:
    task = build_trainer(SETUPS[name]()).task
    assert isinstance(task, ExportsNetworks)
    for exported in task.exports(0).values():
        network = torch.export.load(io.BytesIO(program_file(exported))).module()
        generator = torch.Generator().manual_seed(0)
        inputs = [
            torch.rand(3, *one.shape[1:], generator=generator)
            if one.is_floating_point()
            else one[:1].expand(3)
            for one in exported.inputs
        ]
        with torch.no_grad():
            assert torch.equal(network(*inputs), exported.network(*inputs, **exported.keywords))
        weights = safetensors.torch.load(weights_file(exported.network))
        assert weights.keys() == exported.network.state_dict().keys()
