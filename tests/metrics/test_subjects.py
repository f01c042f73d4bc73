"""What subjects let an evaluation see, and that looking leaves no trace."""

import pytest
import torch
from torch import Tensor

from ndabench.data.images import ImageData, to_float
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.models.biggan import Discriminator
from tests.metrics.striped import images_of, striped_images
from tests.metrics.toy_encoder import assert_untouched, snapshot
from tests.metrics.toy_generator import ToySampler


def discriminator(num_classes: int = 3) -> Discriminator:
    """In training mode, in which its spectral norms would take a step with every forward pass."""
    return Discriminator(
        resolution=16, width=2, num_classes=num_classes, generator=torch.Generator().manual_seed(0)
    )


def subject(network: Discriminator | None, data: ImageData) -> GeneratorSubject:
    sampler = ToySampler(lambda n: striped_images(n, seed=7)[0])
    return GeneratorSubject(sampler, network, data, seed=0, stream="x")


def test_a_logit_for_every_float_image(data: ImageData) -> None:
    """Real images, noise, or whatever an anomaly score asks about."""
    network = discriminator()
    generator = torch.Generator().manual_seed(0)
    real, labels = to_float(images_of(data.test)[:7]), data.test.labels[:7]
    before = snapshot(network)
    for images in (real, torch.randn(7, 3, 16, 16, generator=generator), 0.3 * real):
        logits = subject(network, data).logit(images, labels)
        assert logits.shape == (7,)
        assert logits.dtype == torch.float32
        assert not logits.requires_grad
        assert logits.unique().numel() == 7
        assert torch.equal(logits, subject(network, data).logit(images, labels))
    assert_untouched(network, before)
    other = subject(network, data).logit(real, (labels + 1) % 3)
    assert not torch.equal(other, subject(network, data).logit(real, labels))


def test_a_logit_is_float32_whatever_training_does(data: ImageData) -> None:
    network, images = discriminator(), to_float(striped_images(4, seed=1)[0])
    labels = torch.zeros(4, dtype=torch.long)
    plain = subject(network, data).logit(images, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(subject(network, data).logit(images, labels), plain)


def test_without_a_discriminator_there_is_no_logit(data: ImageData) -> None:
    with pytest.raises(ValueError, match="no discriminator"):
        subject(None, data).logit(torch.zeros(1, 3, 16, 16), torch.zeros(1, dtype=torch.long))


def test_how_images_are_drawn_is_said_explicitly(data: ImageData) -> None:
    asked: list[tuple[int, str, str, str]] = []

    class Recording(ToySampler):
        def sample(self, num_images: int, *, stream: str, weights: str, batch_norm: str) -> Tensor:
            asked.append((num_images, stream, weights, batch_norm))
            return super().sample(num_images, stream=stream, weights=weights, batch_norm=batch_norm)

    sampler = Recording(lambda n: striped_images(n, seed=7)[0])
    measured = GeneratorSubject(sampler, None, data, seed=0, stream="evaluation/5", batch_norm="batch")
    measured.num_samples = 6
    assert len(measured.samples()) == len(measured.samples()) == 6
    assert measured.sampling == {"weights": "ema", "batch_norm": "batch"}
    measured.sample(4, stream="other", weights="live")
    assert asked == [(6, "evaluation/5", "ema", "batch"), (4, "other", "live", "running")]
