"""Negatives in anybody's own loop: as functions and as transforms of torchvision v2."""

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from ndabench import UserError, negatives
from ndabench.augmentations.registry import implementations
from ndabench.negatives import NegativeTransform


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_negative_for_images_is_a_public_function() -> None:
    for name, function in implementations("corrected").items():
        if function.__module__ == "ndabench.augmentations.images" and name != "mismatched":
            assert getattr(negatives, name) is function
            assert name in negatives.__all__


@pytest.mark.parametrize("name", ["jigsaw", "stitch", "cutmix", "rotate", "gaussian_noise"])
def test_a_transform_gives_what_the_function_gives(name: str) -> None:
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8, generator=stream(1))
    expected = getattr(negatives, name)(images, generator=stream())
    assert torch.equal(NegativeTransform(name, generator=stream())(images), expected)


def test_float_images_have_the_range_that_is_given() -> None:
    images = torch.rand(8, 1, 16, 16, generator=stream(1))
    noisy = NegativeTransform("gaussian_noise", std=0.4, generator=stream())(images)
    assert 0 <= noisy.min() < noisy.max() <= 1
    expected = negatives.gaussian_noise(images * 2 - 1, generator=stream(), std=0.4) / 2 + 0.5
    assert torch.allclose(noisy, expected, atol=1e-6)
    ours = NegativeTransform("jigsaw", value_range=(-1, 1), generator=stream())(images)
    assert torch.equal(ours, negatives.jigsaw(images, generator=stream()))


def test_it_takes_part_in_a_pipeline_and_in_a_data_loader() -> None:
    torch.manual_seed(0)
    per_image = v2.Compose([v2.RandomHorizontalFlip(), NegativeTransform("jigsaw", grid=4)])
    image = per_image(tv_tensors.Image(torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)))
    assert isinstance(image, tv_tensors.Image)
    assert image.shape == (3, 16, 16)
    on_batches = NegativeTransform({"mixture": {"jigsaw": 1, "cutmix": 1}})
    data = TensorDataset(torch.rand(8, 3, 16, 16), torch.arange(8))
    for images, labels in DataLoader(data, batch_size=4):
        changed, kept = on_batches(images, labels)
        assert changed.shape == images.shape
        assert kept is labels
        assert not (changed == images).flatten(1).all(1).any()


def test_without_a_generator_the_seed_of_pytorch_decides() -> None:
    images = torch.rand(4, 1, 8, 8)

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        made: Tensor = NegativeTransform("jigsaw")(images)
        return made

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))


@pytest.mark.parametrize("name", ["shuffle_frames", "jigsaw"])
def test_videos_are_in_the_layout_of_torchvision(name: str) -> None:
    video = tv_tensors.Video(torch.randint(0, 256, (2, 6, 3, 8, 8), dtype=torch.uint8))
    changed = NegativeTransform(name, generator=stream())(video)
    expected = getattr(negatives.clips, name)(video.as_subclass(Tensor).transpose(1, 2), generator=stream())
    assert isinstance(changed, tv_tensors.Video)
    assert torch.equal(changed.as_subclass(Tensor), expected.transpose(1, 2))


def test_what_it_cannot_do_is_one_line() -> None:
    with pytest.raises(UserError, match="unknown negative 'jigsow'; did you mean 'jigsaw'"):
        NegativeTransform("jigsow")
    with pytest.raises(UserError, match="jigsaw: grid must"):
        NegativeTransform("jigsaw", grid=1)
    with pytest.raises(UserError, match="draws from a data set"):
        NegativeTransform({"name": "dataset", "data": "dots"})
    with pytest.raises(UserError, match="pairs each image with another"):
        NegativeTransform("stitch")(torch.rand(3, 8, 8))
    with pytest.raises(UserError, match=r"put v2\.ToImage\(\) before it"):
        NegativeTransform("jigsaw")(v2.ToPILImage()(torch.rand(3, 8, 8)))
    with pytest.raises(UserError, match="is for clips only"):
        NegativeTransform("shuffle_frames")(torch.rand(4, 3, 8, 8))
    mask = tv_tensors.Mask(torch.zeros(8, 8))
    with pytest.raises(UserError, match="cannot change a Mask with its image"):
        NegativeTransform("jigsaw")(tv_tensors.Image(torch.rand(3, 8, 8)), mask)
    with pytest.raises(UserError, match=r"needs images \[..., C, H, W\], got shape \[8, 8\]"):
        NegativeTransform("jigsaw")(torch.rand(8, 8))
