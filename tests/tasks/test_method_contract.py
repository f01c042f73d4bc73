"""What every contrastive method keeps to, on images and on clips, the toy of `examples/plugin` included."""

import dataclasses
import io
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from ndabench.metrics.features import frozen
from ndabench.tasks.contrastive.method import Method, random_streams
from ndabench.tasks.contrastive.methods import METHODS
from ndabench.tasks.contrastive.task import ContrastiveTask
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import build_trainer
from tests.registrations import toy_registered
from tests.tasks import contrastive_toys, video_toys
from tests.tasks.gan_toys import differences

SIZES: Mapping[str, Mapping[str, Any]] = {
    "moco": {"queue_size": 16, "batch_norm_splits": 2},
    "dpc": {"num_blocks": 4, "num_predicted": 2},
}
CASES = [
    *((name, modality) for name, entry in METHODS.items() for modality in sorted(entry.learns_from)),
    ("toy_pull", "images"),
    ("toy_pull", "videos"),
]
every_method = pytest.mark.parametrize(
    ("name", "modality"),
    [pytest.param(*case, marks=pytest.mark.slow if case[1] == "videos" else ()) for case in CASES],
)


@pytest.fixture(scope="module", autouse=True)
def toy_is_registered() -> Iterator[None]:
    with toy_registered():
        yield


def task_of(
    name: str, modality: str, *, lambda_: float = 0.0, seed: int = 0, **setup: Any
) -> ContrastiveTask:
    """A toy trial at step 0; with a negative unless `negative=None`."""
    toys: Any = contrastive_toys if modality == "images" else video_toys
    config = toys.toy_settings(method={"name": name, **SIZES.get(name, {})})
    data = contrastive_toys.toy_pictures() if modality == "images" else video_toys.toy_videos()
    negative = contrastive_toys.STITCH if modality == "images" else video_toys.SPLICE
    keys = {"negative": negative, "lambda_": lambda_, "seed": seed, **setup}
    return contrastive_toys.contrastive_task(build_trainer(TrialSetup(config, data, **keys)))


def batch_of(task: ContrastiveTask) -> Tensor:
    return next(task.batches(0))


def tensors(value: Any) -> list[Tensor]:
    """All tensors in what `Method.inputs` makes."""
    if isinstance(value, Tensor):
        return [value]
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    return [tensor for one in value for tensor in tensors(one)]


def state(method: Method) -> dict[str, Any]:
    return {name: part.state_dict() for name, part in method.parts().items()}


def copied(method: Method) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state(method), buffer)
    copy: dict[str, Any] = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    return copy


def test_the_suite_runs_over_every_method_of_ours_and_the_toy() -> None:
    assert {(name, kind) for name, entry in METHODS.items() for kind in entry.learns_from} == set(CASES)


@every_method
def test_its_views_are_a_function_of_the_batch_and_the_streams(name: str, modality: str) -> None:
    first, same, other = (task_of(name, modality, lambda_=1.0, seed=seed) for seed in (0, 0, 1))
    batch = batch_of(first)
    before = batch.clone()
    made, again, with_other_streams = (tensors(task.method.inputs(batch)) for task in (first, same, other))
    assert torch.equal(batch, before)
    assert len(made) > 1
    for one, equal in zip(made, again, strict=True):
        assert torch.equal(one, equal)
        assert not one.is_floating_point() or -1 <= one.min() <= one.max() <= 1
    assert any(not torch.equal(*pair) for pair in zip(made, with_other_streams, strict=True))
    later = tensors(first.method.inputs(batch))
    assert any(not torch.equal(*pair) for pair in zip(made, later, strict=True)), "other draws at each step"


@every_method
def test_a_negative_is_added_to_views_that_it_does_not_change(name: str, modality: str) -> None:
    plain, with_negative = task_of(name, modality), task_of(name, modality, lambda_=1.0)
    batch = batch_of(plain)
    views, more = (tensors(task.method.inputs(batch)) for task in (plain, with_negative))
    kept = [any(torch.equal(view, one) for one in more) for view in views]
    assert all(kept)
    assert len(more) > len(views)
    moved = [one for one in more if not any(torch.equal(view, one) for view in views)]
    assert moved, "the negative's outputs are none of the views"


@every_method
def test_its_loss_is_finite_and_falls_on_a_fixed_batch(name: str, modality: str) -> None:
    task = task_of(name, modality, lambda_=1.0)
    method = task.method
    inputs = method.inputs(batch_of(task))
    losses = []
    for _ in range(12):
        parts = method.loss(inputs)
        assert all(value.shape == () and value.isfinite() for value in parts.values())
        method.network.zero_grad()
        parts["loss"].backward()
        for parameter in method.network.parameters():
            assert parameter.grad is not None
            parameter.data.sub_(parameter.grad, alpha=0.03)
        losses.append(parts["loss"].item())
    assert sum(losses[-3:]) < sum(losses[:3])


@every_method
def test_lambda_zero_is_no_negative_and_more_of_it_a_higher_loss(name: str, modality: str) -> None:
    tasks = [task_of(name, modality, negative=None)]
    tasks += [task_of(name, modality, lambda_=weight) for weight in (0.0, 1e-6, 0.5, 1.0, 4.0)]
    batch = batch_of(tasks[0])
    without, zero, hardly, *more = (
        task.method.loss(task.method.inputs(batch))["loss"].item() for task in tasks
    )
    assert without == zero
    assert hardly == pytest.approx(zero, abs=1e-4)
    assert zero < more[0] < more[1] < more[2]


@every_method
def test_negatives_leave_no_trace_but_their_gradient(name: str, modality: str) -> None:
    """The moments of batch norms and the queue are those of a step without a negative."""
    plain, with_negative = task_of(name, modality), task_of(name, modality, lambda_=1.0)
    batch = batch_of(plain)
    gradients = []
    for task in (plain, with_negative):
        task.method.loss(task.method.inputs(batch))["loss"].backward()
        task.method.after_step(0)
        gradients.append({key: one.grad for key, one in task.method.network.named_parameters()})
    assert differences(state(plain.method), state(with_negative.method)) == []
    assert differences(*gradients), "it changes what the step learns"


@every_method
def test_the_gradient_reaches_every_parameter_and_nothing_else(name: str, modality: str) -> None:
    task = task_of(name, modality, lambda_=1.0)
    method = task.method
    method.loss(method.inputs(batch_of(task)))["loss"].backward()
    for key, parameter in method.network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    reached = [bool(one.grad.abs().sum() > 0) for one in method.network.parameters() if one.grad is not None]
    assert sum(reached) > 0.9 * len(reached), "a ReLU may cut off a layer of two channels"
    trained = {id(parameter) for parameter in method.network.parameters()}
    assert {id(parameter) for parameter in method.features.parameters()} <= trained
    assert {id(parameter) for parameter in task.source.encoder.parameters()} <= trained
    for part in method.parts().values():
        if isinstance(part, torch.nn.Module):
            assert all(id(one) in trained or one.grad is None for one in part.parameters())


@every_method
def test_its_state_continues_where_it_stopped(name: str, modality: str) -> None:
    """The third step after two is the same in the task that took them and in another that got their state."""
    first, second = (task_of(name, modality, lambda_=1.0, seed=seed) for seed in (0, 1))
    batches = first.batches(0)
    for step in range(2):
        first.training_step(next(batches), step)
    saved = copied(first.method)
    assert set(first.method.network.state_dict()) <= {key for part in saved.values() for key in part}
    for part_name, part in second.method.parts().items():
        part.load_state_dict(saved[part_name])
    for key, stream in first.streams.items():
        second.streams[key].set_state(stream.get_state())
    batch = next(batches)
    ends = [task.method.loss(task.method.inputs(batch)) for task in (first, second)]
    assert {key: value.item() for key, value in ends[0].items()} == {
        key: value.item() for key, value in ends[1].items()
    }
    for task in (first, second):
        task.method.after_step(2)
    assert differences(state(first.method), state(second.method)) == []


@every_method
def test_its_features_are_vectors_that_measuring_does_not_change(name: str, modality: str) -> None:
    task = task_of(name, modality)
    features, before = task.method.features, copied(task.method)
    shown = task.source.example().uniform_(-1, 1, generator=torch.Generator().manual_seed(3))
    with torch.no_grad(), frozen(features):
        found, alone = features(shown), features(shown[:2])
    assert found.shape == (len(shown), features.dimension)
    assert found.dtype == torch.float32
    torch.testing.assert_close(alone, found[:2])
    assert differences(state(task.method), before) == []


@every_method
def test_pictures_of_a_step_are_made_apart_from_it(name: str, modality: str) -> None:
    task = task_of(name, modality, lambda_=1.0)
    before, streams = copied(task.method), {key: one.get_state() for key, one in task.streams.items()}
    sheets = task.method.sheets(task.source.shown(), random_streams(task.setup, " sheet"))
    assert set(sheets) == {"views.png", "negatives.png"}
    assert all(png.startswith(b"\x89PNG") for png in sheets.values())
    assert differences(state(task.method), before) == []
    assert differences(streams, {key: one.get_state() for key, one in task.streams.items()}) == []


@every_method
def test_what_it_exports_are_networks_that_it_trained(name: str, modality: str) -> None:
    method = task_of(name, modality).method
    trained = {id(parameter) for parameter in method.network.parameters()}
    for file, network in method.exports().items():
        assert file.endswith(".pt")
        assert {id(parameter) for parameter in network.parameters()} <= trained
