"""One step of a translator against an independent reference in float64, and what its settings change."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.augmentations.registry import NEGATIVES
from ndabench.augmentations.specification import Single, registered
from ndabench.errors import UserError
from ndabench.models.pix2pix import DROPOUT
from ndabench.tasks.paired.config import PairedGanConfig
from ndabench.tasks.paired.task import PairedGanTask, negative_pairs, random_crop
from ndabench.tasks.setup import TrialSetup
from tests.tasks import paired_toys
from tests.tasks.gan_toys import differences

LAMBDA = 0.25


def task(lambda_: float | None = None, **config: Any) -> PairedGanTask:
    negative = paired_toys.JIGSAW if lambda_ is not None else None
    setup = TrialSetup(
        paired_toys.toy_config(**config),
        paired_toys.toy_pairs(),
        negative=negative,
        lambda_=1.0 if lambda_ is None else lambda_,
    )
    return PairedGanTask(setup)


def cross_entropy(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def expected_gradients(trained: PairedGanTask, batch: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients of D, and of G under the D that has already taken its step, as pix2pix words its losses."""
    translator, discriminator = (
        copy.deepcopy(network).double() for network in (trained.translator, trained.discriminator)
    )
    dropout = torch.Generator().set_state(trained.streams["dropout"].get_state())
    negatives = torch.Generator().set_state(trained.streams["negatives"].get_state())
    inputs, targets = batch.double().chunk(2, dim=1)

    def keep(shape: torch.Size) -> Tensor:
        return torch.rand(shape, generator=dropout) >= DROPOUT

    fake = torch.tanh(translator(inputs, keep))
    more = trained.config.fakes_per_real - 1
    fakes = [fake.detach(), *(torch.tanh(translator(inputs, keep)).detach() for _ in range(more))]
    cut = paired_toys.JIGSAW(batch.chunk(2, dim=1)[1], generator=negatives).double()
    real_logits = discriminator(torch.cat([inputs, targets], 1))
    fake_logits = torch.cat([discriminator(torch.cat([inputs, one], 1)) for one in fakes])
    cut_logits = discriminator(torch.cat([inputs, cut], 1))
    loss = 0.5 * (
        cross_entropy(real_logits, True)
        + LAMBDA * cross_entropy(fake_logits, False)
        + (1 - LAMBDA) * cross_entropy(cut_logits, False)
    )
    of_discriminator = gradients(loss, discriminator)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=trained.config.rate(0), betas=(0.5, 0.999))
    for name, parameter in discriminator.named_parameters():
        parameter.grad = of_discriminator[name]
    optimizer.step()
    logits = discriminator(torch.cat([inputs, fake], 1))
    loss = cross_entropy(logits, True) + trained.config.l1_weight * F.l1_loss(fake, targets)
    return of_discriminator, gradients(loss, translator)


def gradients(loss: Tensor, network: nn.Module) -> dict[str, Tensor]:
    found = torch.autograd.grad(loss, list(network.parameters()))
    return dict(zip(dict(network.named_parameters()), found, strict=True))


@pytest.mark.parametrize(("l1_weight", "fakes_per_real"), [(0.0, 1), (100.0, 1), (100.0, 3)])
def test_the_gradients_of_a_step_are_those_of_the_published_losses(
    l1_weight: float, fakes_per_real: int
) -> None:
    trained = task(LAMBDA, l1_weight=l1_weight, learning_rate=1e-4, fakes_per_real=fakes_per_real)
    batch = next(trained.batches(0))
    wanted = expected_gradients(trained, batch)
    trained.training_step(batch, 0)
    for network, expected in zip((trained.discriminator, trained.translator), wanted, strict=True):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None
            largest = expected[name].abs().max()
            error = (parameter.grad.double() - expected[name]).abs().max()
            assert error <= 2e-3 * largest + 1e-7, (name, error, largest)


@pytest.mark.release
def test_a_step_of_the_networks_of_full_size() -> None:
    """The published U-Net-256 and 70×70 PatchGAN, 286 → 256 pixels, a batch of one, with a negative pair."""
    config = paired_toys.toy_config(width=64, patch_layers=3, batch_size=1, learning_rate=2e-4)
    pairs = paired_toys.toy_pairs(size=256, load_size=286)
    trained = PairedGanTask(TrialSetup(config, pairs, negative=paired_toys.JIGSAW, lambda_=LAMBDA))
    counts = [
        sum(weight.numel() for weight in network.parameters())
        for network in (trained.translator, trained.discriminator)
    ]
    assert [round(count / 1e6, 3) for count in counts] == [54.414, 2.769]
    batch = next(trained.batches(0))
    assert batch.shape == (1, 6, 256, 256)
    before = copy.deepcopy([trained.translator.state_dict(), trained.discriminator.state_dict()])
    trained.training_step(batch, 0)
    for network, former in zip((trained.translator, trained.discriminator), before, strict=True):
        for name, weight in network.named_parameters():
            assert weight.isfinite().all(), name
            assert not torch.equal(weight, former[name]), name


def test_lambda_one_is_the_plain_translator_to_the_bit() -> None:
    plain, without_weight = task(), task(1.0)
    for trained in (plain, without_weight):
        for step, batch in zip(range(3), trained.batches(0), strict=False):
            trained.training_step(batch, step)
    states = [
        {name: part.state_dict() for name, part in one.parts().items()} for one in (plain, without_weight)
    ]
    assert differences(*states) == []


def test_a_negative_pair_keeps_the_input_or_changes_both_in_the_same_way() -> None:
    pairs = torch.rand(5, 6, 8, 8, generator=torch.Generator().manual_seed(0))
    pairs[:, 3:] = pairs[:, :3]
    made = {
        changes: negative_pairs(
            paired_toys.JIGSAW, pairs, changes, generator=torch.Generator().manual_seed(1)
        )
        for changes in ("target", "both")
    }
    assert torch.equal(made["target"][:, :3], pairs[:, :3])
    assert not torch.equal(made["target"][:, 3:], pairs[:, 3:])
    assert torch.equal(made["both"][:, :3], made["both"][:, 3:]), "the pictures still fit together"
    assert not torch.equal(made["both"], pairs)


def test_mismatched_pairs_have_the_target_of_another() -> None:
    mismatched = NEGATIVES["mismatched"].by("pairs")
    assert mismatched is not None
    pairs = torch.rand(5, 6, 8, 8, generator=torch.Generator().manual_seed(0))
    made = negative_pairs(mismatched.load(), pairs, "target", generator=torch.Generator().manual_seed(1))
    assert torch.equal(made[:, :3], pairs[:, :3])
    whose = (made[:, None, 3:] == pairs[None, :, 3:]).flatten(2).all(2)
    assert whose.sum(1).eq(1).all(), "each target is that of one pair"
    assert not whose.diagonal().any(), "and not of its own"
    with pytest.raises(UserError, match="mismatched"):
        mismatched.load()(pairs[:1], generator=torch.Generator())


def test_it_is_for_pairs_only() -> None:
    with pytest.raises(UserError, match=r"mismatched: is for pairs of images only \(for images: "):
        Single("mismatched").build("corrected")
    assert {"jigsaw", "mismatched"} <= {single.name for single in registered("pairs")}
    with pytest.raises(UserError, match="splice: is for clips only"):
        Single("splice").build("pairs")


def test_crops_are_squares_of_the_image_at_every_place() -> None:
    height, width, size = 5, 6, 4
    image = torch.arange(height * width, dtype=torch.float).view(1, 1, height, width)
    cropped = random_crop(image.expand(400, 2, -1, -1), size, generator=torch.Generator().manual_seed(0))
    assert cropped.shape == (400, 2, size, size)
    assert torch.equal(cropped[:, 0], cropped[:, 1]), "both channels are cropped together"
    corners = set(cropped[:, 0, 0, 0].tolist())
    assert corners == {float(row * width + column) for row in range(2) for column in range(3)}
    for one in cropped[:20, 0]:
        first = int(one[0, 0])
        row, column = divmod(first, width)
        assert torch.equal(one, image[0, 0, row : row + size, column : column + size])


def test_the_learning_rate_is_constant_and_then_falls_to_zero() -> None:
    config = PairedGanConfig(num_steps=10, learning_rate=1.0, decay_share=0.5)
    rates = [config.rate(step) for step in range(10)]
    assert rates == pytest.approx([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    assert [PairedGanConfig(num_steps=3, decay_share=0.0).rate(step) for step in range(3)] == [2e-4] * 3
    trained = task(num_steps=4, learning_rate=1.0)
    for step, batch in zip(range(4), trained.batches(0), strict=False):
        trained.training_step(batch, step)
    assert trained.translator_optimizer.param_groups[0]["lr"] == 0.5


def test_it_learns_to_copy() -> None:
    """With targets that equal the inputs the difference falls."""
    trained = task(num_steps=60, width=4, decay_share=0.0, learning_rate=2e-3)
    batch = next(trained.batches(0)).chunk(2, dim=1)[0].repeat(1, 2, 1, 1)
    losses = []
    for step in range(60):
        trained.training_step(batch, step)
        losses.append(trained.curves.read()["l1_training"])
        trained.curves.clear()
    assert losses[-1] < 0.85 * losses[0]


def test_translations_are_a_function_of_the_weights_and_the_stream() -> None:
    trained = task()
    first, again = (trained.subject(3).translations("validation") for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, trained.subject(4).translations("validation")), "other dropout"
