"""Classifiers that learn from clips, against loops that are written out, on moving digits."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.config import parse
from ndabench.data.images import to_float
from ndabench.data.registry import load_data
from ndabench.data.videos.clip_sampling import ClipSampling
from ndabench.data.videos.clips import ClipData, ClipRequest, ConcatClips
from ndabench.data.videos.sampling import random_clips
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.clip_encoders.clip_training import ClipClassifier, ClipTraining
from ndabench.metrics.clip_encoders.config import (
    ClipTrainingConfig,
    CoclrFinetuneConfig,
    CoclrLinearProbeConfig,
    DpcFinetuneConfig,
)
from ndabench.metrics.evaluating import prepare
from ndabench.metrics.subjects import Preparation
from ndabench.models.split_batch_norm import SplitBatchNorm3d
from tests.metrics.recognising import CPU, SAMPLING, digits, evaluate
from tests.metrics.toy_features import ToyFeatures

UNCHANGED: dict[str, Any] = {"crop_scale": (1.0, 1.0), "flip": 0.0, "jitter_probability": 0.0}
PLAIN: dict[str, Any] = {**UNCHANGED, "dropout": 0.0}


class Recorded:
    """A split that remembers what it gave out."""

    def __init__(self, split: Any) -> None:
        self.split = split
        self.given: list[tuple[Tensor, Tensor]] = []
        self.requests: list[Any] = []

    def __len__(self) -> int:
        return len(self.split)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.split, name)

    def clips(self, batches: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor]]:
        for requests in batches:
            self.requests.append(requests)
            self.given.extend(self.split.clips([requests]))
            yield self.given[-1]


def trained(
    split: Any,
    network: nn.Module | None = None,
    *,
    seed: int = 3,
    sampling: ClipSampling = SAMPLING,
    recipe: type[ClipTrainingConfig] = DpcFinetuneConfig,
    **keys: Any,
) -> ClipClassifier:
    config = recipe.model_validate({"num_epochs": 1, "batch_size": 32, **keys})
    network = network or ToyFeatures(dropout=0.0)
    training = ClipTraining(config, network, split, sampling, num_classes=8, seed=seed, workers=Workers())
    *_, done = training.run()
    assert done == training.num_units
    return training.classifier


def whole_batches() -> ToyFeatures:
    """The features module, normalising by the moments of the whole batch."""
    network = ToyFeatures(dropout=0.0)
    for each in network.norms:
        assert isinstance(each, SplitBatchNorm3d)
        each.splits = 1
    return network


def head_stream() -> torch.Generator:
    """What draws the new layers where the seed is 3."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(3).generate_state(4, np.uint64)[0]))


class Adam:
    """By its formulas, with decay as a term of the gradient, and a tenth of the rate in the second half."""

    def __init__(self, parameters: list[nn.Parameter], rates: list[float], num_steps: int) -> None:
        self.parameters, self.rates, self.num_steps, self.step = parameters, rates, num_steps, 0
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]

    @torch.no_grad()
    def descend(self, loss: Tensor) -> None:
        with torch.enable_grad():
            gradients = torch.autograd.grad(loss, self.parameters)
        self.step += 1
        factor = 1.0 if self.step <= self.num_steps // 2 else 0.1
        for p, g, (m, v), rate in zip(self.parameters, gradients, self.moments, self.rates, strict=True):
            g = g + 0.01 * p
            m.mul_(0.9).add_(0.1 * g)
            v.mul_(0.999).add_(0.001 * g * g)
            update = (m / (1 - 0.9**self.step)) / ((v / (1 - 0.999**self.step)).sqrt() + 1e-8)
            p.sub_(factor * rate * update)


def assert_equal_states(found: ClipClassifier, **parts: nn.Module) -> None:
    expected: dict[str, Tensor] = {}
    for name, part in parts.items():
        expected |= part.state_dict(prefix=f"{name}.")
    assert expected.keys() == found.state_dict().keys()
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=2e-4, rtol=1e-3, msg=name)


HALVES: dict[str, Any] = {"num_epochs": 2, "lr_milestones": (0.5,), "weight_decay": 0.01}


def test_dpcs_finetuning_is_that_of_a_loop(clips: ClipData) -> None:
    split = Recorded(clips.train)
    found = trained(split, backbone_rate=0.5, **HALVES, **PLAIN)
    assert len(split.given) == 2 * (len(split) // 32)
    network, norm, linear = whole_batches(), nn.BatchNorm1d(12), nn.Linear(12, 8)
    nn.init.orthogonal_(linear.weight, generator=head_stream())
    nn.init.zeros_(linear.bias)
    pretrained, new = list(network.parameters()), [*norm.parameters(), *linear.parameters()]
    rates = [0.5e-3] * len(pretrained) + [1e-3] * len(new)
    adam = Adam([*pretrained, *new], rates, len(split.given))
    for batch, labels in split.given:
        adam.descend(F.cross_entropy(linear(norm(network(to_float(batch)))), labels))
    assert_equal_states(found, network=network, norm=norm, linear=linear)


def test_coclrs_finetuning_is_that_of_a_loop(clips: ClipData) -> None:
    """A linear layer alone, and a tenth of the rate for the pre-trained layers."""
    split = Recorded(clips.train)
    found = trained(split, recipe=CoclrFinetuneConfig, **HALVES, **PLAIN)
    network, linear = whole_batches(), nn.Linear(12, 8)
    nn.init.normal_(linear.weight, std=0.01, generator=head_stream())
    nn.init.zeros_(linear.bias)
    pretrained, new = list(network.parameters()), list(linear.parameters())
    rates = [1e-4] * len(pretrained) + [1e-3] * len(new)
    adam = Adam([*pretrained, *new], rates, len(split.given))
    for batch, labels in split.given:
        adam.descend(F.cross_entropy(linear(network(to_float(batch))), labels))
    assert_equal_states(found, network=network, linear=linear)


def test_coclrs_linear_probe_is_that_of_a_loop(clips: ClipData) -> None:
    """SGD with momentum on features of unit length and a batch norm; the encoder stays in eval mode."""
    split = Recorded(clips.train)
    found = trained(split, recipe=CoclrLinearProbeConfig, **HALVES, **UNCHANGED)
    network, norm, linear = whole_batches().eval(), nn.BatchNorm1d(12), nn.Linear(12, 8)
    nn.init.normal_(linear.weight, std=0.01, generator=head_stream())
    nn.init.zeros_(linear.bias)
    parameters = [*norm.parameters(), *linear.parameters()]
    velocities = [torch.zeros_like(p) for p in parameters]
    for step, (batch, labels) in enumerate(split.given, 1):
        features = F.normalize(network(to_float(batch)), dim=1)
        gradients = torch.autograd.grad(F.cross_entropy(linear(norm(features)), labels), parameters)
        rate = 0.1 if step <= len(split.given) // 2 else 0.01
        with torch.no_grad():
            for p, g, v in zip(parameters, gradients, velocities, strict=True):
                v.mul_(0.9).add_(g + 0.01 * p)
                p.sub_(rate * v)
    assert_equal_states(found, network=network, norm=norm, linear=linear)


@pytest.mark.parametrize("recipe", [CoclrFinetuneConfig, CoclrLinearProbeConfig])
def test_coclrs_protocols_are_tested_on_ten_crops(recipe: type[ClipTrainingConfig]) -> None:
    config = recipe.model_validate({"num_epochs": 1, "batch_size": 32})
    measured = evaluate(load_data(digits(frame_size=20), device=CPU), [config]).measurements
    protocol, is_probe = measured[config.name].protocol, recipe is CoclrLinearProbeConfig
    assert protocol["crops"] == "ten"
    assert protocol["fitted_on"] == ("train+validation" if is_probe else "train")
    assert (protocol["encoder"] == "frozen, eval mode, float32") == is_probe
    small = load_data(digits(), device=CPU)
    with pytest.raises(UserError, match="crops"):
        prepare([config], Preparation(small, CPU, sampling=SAMPLING))


@pytest.mark.slow
def test_it_learns_motions_that_the_frozen_features_do_not_tell() -> None:
    data = load_data(digits(clips_per_group=2), device=CPU)
    keys = {**PLAIN, "crop_scale": (0.8, 1.0), "learning_rate": 1e-2, "weight_decay": 0.0}
    evaluated = evaluate(data, [DpcFinetuneConfig(num_epochs=25, batch_size=32, **keys)])
    assert evaluated.measurements["dpc_finetune"].value > 30  # chance is 12.5
    assert evaluated.measurements["dpc_finetune_top5"].value > evaluated.measurements["dpc_finetune"].value
    assert evaluated.measurements["dpc_finetune"].protocol["fitted_on"] == "train"


def test_random_numbers_are_the_seeds_and_change_with_it(clips: ClipData) -> None:
    def weights(seed: int) -> Tensor:
        return trained(clips.train, ToyFeatures(), seed=seed, num_epochs=1).linear.weight

    torch.manual_seed(0)
    first = weights(1)
    torch.manual_seed(1)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


def test_a_backbone_without_a_rate_stays(clips: ClipData) -> None:
    network = ToyFeatures()
    found = trained(clips.train, network, backbone_rate=0.0)
    assert torch.equal(found.get_parameter("network.first.weight"), network.first.weight)
    assert found.linear.bias.abs().max() > 0


def test_the_rate_falls_after_shares_of_the_epochs() -> None:
    config = DpcFinetuneConfig()
    rates = [config.rate_factor(epoch) for epoch in (0, 59, 60, 79, 80, 99)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_refitted_it_has_learned_from_validation_videos_too(clips: ClipData) -> None:
    train, validation = Recorded(clips.train), Recorded(clips.validation)
    data = replace(clips, train=train, validation=validation)
    config = DpcFinetuneConfig(num_epochs=1, batch_size=16, refit=True)
    measured = evaluate(data, [config]).measurements
    assert measured["val_dpc_finetune"].protocol["fitted_on"] == "train"
    assert measured["val_dpc_finetune"].protocol["num_fitted"] == len(train)
    assert measured["dpc_finetune"].protocol["fitted_on"] == "train+validation"
    assert measured["dpc_finetune"].protocol["num_fitted"] == len(train) + len(validation)
    # One epoch of each training: 128 of 144 videos alone, then 144 of both; and the windows of validation.
    learned = sum(len(batch) for batch in train.requests)
    windows = 3 * len(validation)
    assert learned + sum(len(batch) for batch in validation.requests) - windows == sum(
        count // 16 * 16 for count in (len(train), len(train) + len(validation))
    )


def test_joined_splits_are_one(clips: ClipData) -> None:
    joined = ConcatClips(clips.train, clips.validation)
    cut = len(clips.train)
    assert len(joined) == len(joined.num_frames) == len(joined.labels) == cut + len(clips.validation)
    batches = [
        *islice(random_clips(joined, 12, frames=4, stride=2, seed=0), 20),
        joined.windows(0, 4, 1, 0.5),
    ]
    batches.append(joined.windows(cut, 4, 1, 0.5))
    for requests, (shown, labels) in zip(batches, joined.clips(batches), strict=True):
        for request, clip, label in zip(requests, shown, labels, strict=True):
            own = request if request.video < cut else request._replace(video=request.video - cut)
            split = clips.train if request.video < cut else clips.validation
            [(expected, _)] = split.clips([[ClipRequest(*own)]])
            assert torch.equal(clip, expected[0])
            assert label == joined.labels[request.video]


def test_short_videos_count() -> None:
    data = load_data(digits(video_frames=4), device=CPU)
    measured = evaluate(data, [DpcFinetuneConfig(num_epochs=1, batch_size=32)]).measurements
    assert measured["dpc_finetune"].protocol["num_evaluated"] == len(data.test) == 8 * 7


@pytest.mark.parametrize("size", [None, 12])
def test_clips_may_be_whole_frames_or_their_middle(clips: ClipData, size: int | None) -> None:
    seen: list[tuple[int, ...]] = []

    class Watching(ToyFeatures):
        def forward(self, shown: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
            seen.append(tuple(shown.shape[1:]))
            assert -1 <= shown.min() <= shown.max() <= 1
            return super().forward(shown, generator=generator)

    trained(clips.train, Watching(), seed=0, sampling=ClipSampling(5, 1, size), batch_size=64)
    assert set(seen) == {(3, 5, size or 16, size or 16)}


def test_a_training_that_leaves_the_numbers_has_no_accuracy(clips: ClipData) -> None:
    config = DpcFinetuneConfig(num_epochs=2, batch_size=32).model_copy(update={"learning_rate": 1e30})
    measured = evaluate(clips, [config]).measurements
    assert all(math.isnan(one.value) for one in measured.values())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"crop_scale": [0.9, 0.5]}, "crop_scale needs 0 < low <= high <= 1"),
        ({"lr_milestones": [1.0]}, "less than 1"),
        ({"dropout": 1.0}, "less than 1"),
        ({"epochs": 3}, "did you mean 'num_epochs'"),
    ],
)
def test_impossible_settings_are_refused(keys: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(DpcFinetuneConfig, keys, "evaluate")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"batch_size": 1000}, "dpc_finetune: batch_size 1000 exceeds the 128 training videos of moving"),
        ({"batch_size": 31}, "batch_size 31 cannot be shared equally by 2 workers; make it a multiple of 2"),
        ({"batch_size": 32, "precision": "bf16"}, "precision bf16 is for GPUs; on a cpu take fp32"),
    ],
)
def test_impossible_trainings_are_refused_beforehand(
    clips: ClipData,
    keys: dict,
    message: str,
) -> None:
    with pytest.raises(UserError) as error:
        prepare([DpcFinetuneConfig(**keys)], Preparation(clips, CPU, num_workers=2))
    assert message in str(error.value)
