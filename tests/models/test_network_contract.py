"""What every GAN architecture keeps to, the toy of `examples/plugin` included; see `NETWORKS`."""

import copy
import io
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ndabench.errors import UserError
from ndabench.losses.adversarial import hinge
from ndabench.metrics.features import frozen
from ndabench.models.ema import MovingAverage
from ndabench.models.spectral_norm import SpectralWeight
from ndabench.registry import load
from ndabench.tasks.gan.networks import NETWORKS
from tests.registrations import toy_registered

Networks = tuple[nn.Module, nn.Module]
NAMES = [*NETWORKS, "toy_mlp"]
PUBLISHED: Mapping[str, Mapping[int, tuple[int, int]]] = {
    "biggan": {1: (4_276_739, 4_205_057), 10: (4_304_387, 4_207_361)}
}
"""Parameters of generator and discriminator at 32×32, width 64 and 128 latent dimensions, by the number of
classes, as in the released code."""
REFUSED: Mapping[str, set[int]] = {"biggan": {1, 7, 24, 100}, "dcgan": {1, 7, 24, 100}, "toy_mlp": set()}
SPECTRALLY_NORMALISED = {"biggan"}
every_network = pytest.mark.parametrize("name", NAMES)
conditional_or_not = pytest.mark.parametrize("num_classes", [1, 3])


@pytest.fixture(scope="module", autouse=True)
def toy_is_registered() -> Iterator[None]:
    with toy_registered():
        yield


def built(name: str, *, seed: int = 0, **changes: Any) -> Networks:
    """Small networks for grey images of 16×16 pixels, unless `changes` say else."""
    entry = NETWORKS[name]
    sizes: dict[str, Any] = {
        "image_shape": (1, 16, 16),
        "width": 2,
        "latent_dim": 6,
        "num_classes": 3,
        "streams": (stream(seed), stream(seed + 100)),
        "workers": None,
        "memory_format": torch.contiguous_format,
    }
    keys = entry.config.model_validate({"name": name}).model_dump(exclude={"name"})
    return load(entry.build)(**{**keys, **sizes, **changes})


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inputs(count: int = 8, num_classes: int = 3, latent_dim: int = 6, seed: int = 5) -> tuple[Tensor, Tensor]:
    """Noise and labels."""
    return (
        torch.randn(count, latent_dim, generator=stream(seed)),
        torch.randint(num_classes, (count,), generator=stream(seed + 1)),
    )


def steps(networks: Networks, count: int = 3) -> None:
    """A few steps of gradient descent of both networks, as a GAN takes them."""
    generator, discriminator = networks
    for step in range(count):
        real = torch.rand(8, 1, 16, 16, generator=stream(50 + step)) * 2 - 1
        noise, labels = inputs(seed=60 + step)
        fake = generator(noise, labels)
        logits = discriminator(torch.cat([real, fake.detach()]), torch.cat([labels, labels]))
        of_real, of_fake = logits.chunk(2)
        losses = (
            hinge().generator(discriminator(fake, labels)),
            hinge().discriminator(of_real, of_fake, None, 1),
        )
        for network, loss in zip(networks, losses, strict=True):
            parameters = list(network.parameters())
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.data.sub_(gradient, alpha=0.05)


def equal(one: nn.Module, other: nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_the_suite_runs_over_every_network_of_ours_and_the_toy() -> None:
    assert set(NETWORKS) == set(NAMES)


@every_network
@conditional_or_not
@pytest.mark.parametrize("image_shape", [(1, 8, 8), (3, 16, 16), (3, 32, 32), (3, 48, 48)])
def test_noise_becomes_images_and_images_become_logits(
    name: str, num_classes: int, image_shape: tuple[int, int, int]
) -> None:
    generator, discriminator = built(name, image_shape=image_shape, num_classes=num_classes)
    noise, labels = inputs(5, num_classes)
    images = generator(noise, labels)
    assert images.shape == (5, *image_shape)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert images.flatten(1).unique(dim=0).shape[0] == 5, "another image for other noise"
    logits = discriminator(images, labels)
    assert logits.shape == (5,)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert logits.unique().numel() == 5, "another logit for another image"


@every_network
def test_a_size_that_it_cannot_make_is_refused_in_one_line(name: str) -> None:
    for size in (1, 7, 24, 100):
        if size in REFUSED[name]:
            with pytest.raises(UserError, match=f"{size}×{size}") as raised:
                built(name, image_shape=(1, size, size))
            assert "\n" not in str(raised.value)
        else:
            assert built(name, image_shape=(1, size, size))[0](*inputs()).shape == (8, 1, size, size)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("num_classes", [1, 10])
def test_a_published_network_has_the_published_size(name: str, num_classes: int) -> None:
    networks = built(name, image_shape=(3, 32, 32), width=64, latent_dim=128, num_classes=num_classes)
    counts = tuple(sum(one.numel() for one in network.parameters()) for network in networks)
    assert counts == PUBLISHED[name][num_classes]


@every_network
def test_the_class_changes_images_and_logits(name: str) -> None:
    networks = built(name)
    steps(networks)
    generator, discriminator = (network.eval() for network in networks)
    noise = inputs(1)[0].expand(3, -1)
    labels = torch.arange(3)
    images = generator(noise, labels)
    assert images.flatten(1).unique(dim=0).shape[0] == 3
    assert discriminator(images[:1].expand(3, -1, -1, -1), labels).unique().numel() == 3


@every_network
def test_its_streams_alone_decide_the_weights(name: str) -> None:
    before = torch.get_rng_state()
    first, same, other = built(name), built(name), built(name, seed=1)
    mixed = built(name, streams=(stream(0), stream(7)))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(equal(*pair) for pair in zip(first, same, strict=True))
    assert not any(equal(*pair) for pair in zip(first, other, strict=True))
    assert equal(first[0], mixed[0]), "the second stream is the discriminator's alone"
    assert not equal(first[1], mixed[1])


@every_network
@conditional_or_not
def test_the_gradient_reaches_every_parameter(name: str, num_classes: int) -> None:
    networks = built(name, num_classes=num_classes)
    generator, discriminator = networks
    noise, _ = inputs(12)
    labels = torch.arange(12) % num_classes
    fake = generator(noise, labels)
    # without the hinge, so that no image lies beyond a margin
    discriminator(fake, labels).square().sum().backward()
    for network in networks:
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            assert parameter.grad.abs().sum() > 0, key


@every_network
def test_memory_formats_give_the_same_images_and_logits(name: str) -> None:
    plain, last = built(name), built(name, memory_format=torch.channels_last)
    images, same = plain[0](*inputs()), last[0](*inputs())
    torch.testing.assert_close(images, same, rtol=1e-4, atol=1e-5)
    _, labels = inputs()
    torch.testing.assert_close(plain[1](images, labels), last[1](images, labels), rtol=1e-4, atol=1e-5)


@every_network
def test_in_bfloat16_images_and_logits_stay_float32_and_near(name: str) -> None:
    generator, discriminator = (network.eval() for network in built(name))
    noise, labels = inputs()
    exact = generator(noise, labels, batch_statistics=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = generator(noise, labels, batch_statistics=True)
        logits = discriminator(exact, labels)
    assert rounded.dtype == logits.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0, atol=0.1)
    torch.testing.assert_close(logits, discriminator(exact, labels), rtol=0.05, atol=0.05)


@every_network
def test_looked_at_it_stays_as_it_is_and_each_image_has_its_own_output(name: str) -> None:
    """In evaluation mode, as pictures and evaluations look at networks during a training."""
    networks = built(name)
    steps(networks)
    before = copy.deepcopy(networks)
    noise, labels = inputs()
    generator, discriminator = networks
    with torch.no_grad(), frozen(generator), frozen(discriminator):
        images = generator(noise, labels)
        assert torch.equal(images, generator(noise, labels))
        torch.testing.assert_close(generator(noise[:2], labels[:2]), images[:2])
        torch.testing.assert_close(generator(noise, labels, batch_statistics=False), images)
        generator(noise, labels, batch_statistics=True)
        logits = discriminator(images, labels)
        torch.testing.assert_close(discriminator(images[:2], labels[:2]), logits[:2])
    assert all(equal(*pair) for pair in zip(networks, before, strict=True))
    assert all(network.training for network in networks)


@every_network
def test_the_moving_average_follows_and_draws_without_it(name: str) -> None:
    networks = built(name)
    average = MovingAverage(networks[0], decay=0.5, start=0)
    start = copy.deepcopy(networks[0])
    steps(networks)
    average.update(networks[0], 1)
    trained = copy.deepcopy(networks[0])
    ways = zip(start.parameters(), networks[0].parameters(), average.network.parameters(), strict=True)
    for before, after, mean in ways:
        torch.testing.assert_close(mean, (before + after) / 2)
    assert average.network(*inputs()).shape == (8, 1, 16, 16)
    assert equal(trained, networks[0]), "a copy shares nothing with the network"


@every_network
def test_its_state_makes_another_the_same(name: str) -> None:
    networks, others = built(name), built(name, seed=1)
    steps(networks)
    for network, other in zip(networks, others, strict=True):
        buffer = io.BytesIO()
        torch.save(network.state_dict(), buffer)
        other.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    steps(networks, 1)
    steps(others, 1)
    assert all(equal(*pair) for pair in zip(networks, others, strict=True))


@every_network
def test_spectrally_normalised_weights_have_norm_one(name: str) -> None:
    """After enough power iterations, against an SVD in float64; each forward in training makes one."""
    networks = built(name)
    found = [one for network in networks for one in network.modules() if isinstance(one, SpectralWeight)]
    assert bool(found) == (name in SPECTRALLY_NORMALISED)
    noise, labels = inputs()
    vectors = [weight.u.clone() for weight in found]
    networks[1](networks[0](noise, labels), labels)
    moved = [not torch.equal(weight.u, vector) for weight, vector in zip(found, vectors, strict=True)]
    assert all(one or weight.u.numel() == 1 for one, weight in zip(moved, found, strict=True))
    for weight in found:
        for _ in range(300):
            weight()
        norms = torch.linalg.svdvals(weight().detach().double().flatten(1))
        assert norms[0].item() == pytest.approx(1, abs=1e-2)
