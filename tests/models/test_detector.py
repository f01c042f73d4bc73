"""Detectors on every body, stem and batch norm: losses, boxes, and an encoder left in peace."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from ndabench.distributed import Workers
from ndabench.models.detector import Detector, SeededSampler, long_side, resize, scale_boxes
from ndabench.models.resnet import ResNet, Stem

SHORT_SIDE = 64
TARGETS = [
    {"boxes": torch.tensor([[4.0, 5, 24, 29], [30, 30, 60, 60]]), "labels": torch.tensor([0, 2])},
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
]


def encoder(stem: Stem = "imagenet", image_channels: int = 3, depth: int = 18) -> ResNet:
    generator = Generator().manual_seed(0)
    return ResNet(depth=depth, width=4, stem=stem, image_channels=image_channels, generator=generator)


def detector(network: ResNet | None = None, *, seed: int = 0, **changes: Any) -> Detector:
    settings: dict[str, Any] = {
        "body": "c4",
        "batch_norm": "frozen",
        "num_rois": 16,
        "num_proposals": 20,
        **changes,
    }
    return Detector(
        network or encoder(), num_classes=3, short_side=SHORT_SIDE, seed=seed, workers=Workers(), **settings
    )


def pictures(channels: int = 3) -> list[Tensor]:
    generator = Generator().manual_seed(1)
    return [torch.rand(channels, *size, generator=generator) * 2 - 1 for size in ((64, 80), (70, 64))]


def losses(model: Detector, channels: int = 3) -> dict[str, Tensor]:
    generators = [Generator().manual_seed(place) for place in range(2)]
    return model.losses(pictures(channels), TARGETS, generators)


@pytest.mark.parametrize(
    ("body", "stem", "batch_norm"),
    list(product(("c4", "fpn"), ("cifar", "imagenet"), ("frozen", "live"))),
)
def test_losses_reach_every_parameter_and_boxes_lie_in_the_picture(
    body: str, stem: Stem, batch_norm: str
) -> None:
    network = encoder(stem).requires_grad_(False)
    model = detector(network, body=body, batch_norm=batch_norm)
    four = losses(model)
    assert set(four) == {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"}
    assert all(loss.isfinite() and loss.ndim == 0 for loss in four.values())
    torch.stack(list(four.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    first = model.get_parameter("body.network.conv1.weight")
    assert first.grad is not None
    assert first.grad.any()

    boxes, scores, labels = model.eval().detect(pictures()[0])
    assert boxes.shape == (len(scores), 4)
    assert boxes.min() >= 0
    assert boxes[:, 2].max() <= 80
    assert boxes[:, 3].max() <= 64
    assert torch.equal(scores, scores.sort(descending=True).values)
    assert set(labels.tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("body", ["c4", "fpn"])
def test_bottlenecks_and_grey_pictures(body: str) -> None:
    model = detector(encoder(image_channels=1, depth=50), body=body)
    assert all(loss.isfinite() for loss in losses(model, channels=1).values())


@pytest.mark.parametrize("batch_norm", ["frozen", "live"])
def test_the_encoder_stays_as_it_is(batch_norm: str) -> None:
    network = encoder()
    network.layer1.requires_grad_(False).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    flags = [(p.requires_grad, p.grad) for p in network.parameters()]
    modes = [module.training for module in network.modules()]
    model = detector(network, batch_norm=batch_norm)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.stack(list(losses(model).values())).sum().backward()
    optimizer.step()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert [(p.requires_grad, p.grad) for p in network.parameters()] == flags
    assert [module.training for module in network.modules()] == modes
    moved = model.get_parameter("body.network.conv1.weight")
    assert not torch.equal(moved, network.get_parameter("conv1.weight"))


def test_the_body_starts_with_the_encoders_own_features() -> None:
    network = encoder().eval()
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_(generator=Generator().manual_seed(2))
        norm.running_var.uniform_(0.5, 2, generator=Generator().manual_seed(3))
    images = torch.stack([picture[:, :64, :64] for picture in pictures()])
    model = detector(network)
    third = model.body(images)["0"]  # frozen batch norm: the same in training mode
    torch.testing.assert_close(third, network.stages(images)[2])
    torch.testing.assert_close(model.roi_heads.box_head(third), network(images))


def test_new_layers_follow_the_seed_and_leave_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    first, second, other = detector(seed=1), detector(seed=1), detector(seed=2)
    losses(first)
    assert torch.equal(torch.get_rng_state(), state)
    weights = [model.rpn.head.cls_logits.weight for model in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_anchors_lie_on_the_grid_of_the_strides(stem: Stem) -> None:
    """Also in a batch with a much larger picture, whose padding misleads a guess from sizes."""
    model = detector(encoder(stem), body="fpn")
    images = model._batch([torch.zeros(3, 24, 24), torch.zeros(3, 70, 90)], together=False)
    maps = list(model.body(images.tensors).values())
    small, large = model.rpn.anchor_generator(images, maps)
    assert torch.equal(small, large)
    start = 0
    for level, stride in zip(maps, (*encoder(stem).strides, 2 * encoder(stem).strides[-1]), strict=True):
        count = 3 * level.shape[-2] * level.shape[-1]
        centres = (small[start : start + count, :2] + small[start : start + count, 2:]) / 2
        assert set(centres[:, 0].tolist()) == {float(stride * x) for x in range(level.shape[-1])}
        start += count
    assert start == len(small)
    sides = (small[:, 2:] - small[:, :2]).prod(1).sqrt()
    assert sides.min() > 1
    assert 0.5 * SHORT_SIDE < sides.max() < 0.8 * SHORT_SIDE


def test_the_sampler_draws_for_each_picture_alone() -> None:
    sampler = SeededSampler(num_samples=8, positive_fraction=0.25)
    labels = [torch.tensor([1, 1, 1, 1, -1, *[0] * 20]), torch.tensor([-1, 3, *[0] * 5])]

    def draw(places: list[int]) -> list[tuple[Tensor, Tensor]]:
        sampler.generators = [Generator().manual_seed(place) for place in places]
        return list(zip(*sampler([labels[place] for place in places]), strict=True))

    both = draw([0, 1])
    assert [(int(p.sum()), int(n.sum())) for p, n in both] == [(2, 6), (1, 5)]
    assert sampler.num_drawn == 14
    for (positive, negative), label in zip(both, labels, strict=True):
        assert (label[positive.bool()] >= 1).all()
        assert (label[negative.bool()] == 0).all()
    (alone,) = draw([1])
    assert all(torch.equal(a, b) for a, b in zip(alone, both[1], strict=True))


def test_resizing_keeps_the_shape_and_moves_boxes_along() -> None:
    assert resize(torch.zeros(3, 100, 150), 50, 83).shape == (3, 50, 75)
    assert resize(torch.zeros(3, 100, 300), 50, long_side(50)).shape == (3, 28, 83)
    boxes = scale_boxes(torch.tensor([[10.0, 20, 150, 100]]), (100, 150), (50, 75))
    assert torch.equal(boxes, torch.tensor([[5.0, 10, 75, 50]]))
    assert long_side(800) == 1333
