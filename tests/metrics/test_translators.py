"""Measures of translations against scikit-learn and by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score, recall_score
from torch import Tensor, nn

from ndabench.data.config import SplitName
from ndabench.data.pairs.source import Palette
from ndabench.errors import UserError
from ndabench.metrics.evaluating import evaluate, prepare
from ndabench.metrics.generators.config import FrechetConfig
from ndabench.metrics.results import Evaluated
from ndabench.metrics.subjects import Preparation
from ndabench.metrics.translators import lpips, segmentation
from ndabench.metrics.translators.config import L1Config, LpipsConfig, SegmentationConfig
from ndabench.metrics.translators.segmentation import IGNORED, class_map, confusion, scores
from ndabench.metrics.translators.subject import TranslatorSubject
from tests.tasks.paired_toys import PALETTE, toy_pairs

DATA = toy_pairs()
SPLITS: tuple[SplitName, ...] = ("validation", "test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(segmentation, "FEWEST_PICTURES", 64)


def whole(split: Any) -> Tensor:
    images, _ = next(iter(split.batches([torch.arange(len(split))])))
    return images


def subject(translate: Any) -> TranslatorSubject:
    return TranslatorSubject(
        lambda batches, stream: torch.cat([translate(b) for b in batches]), DATA, 0, "now"
    )


def measured(evaluation: Any, translate: Any, *, test: bool = True) -> dict[str, Any]:
    found = [
        one for one in evaluate([evaluation], subject(translate), test=test) if isinstance(one, Evaluated)
    ]
    return dict(found[0].measurements)


def test_scores_equal_scikit_learns() -> None:
    random = np.random.default_rng(0)
    wanted, found = (
        random.integers(0, 4, 900),
        random.integers(0, 5, 900),
    )  # class 4 is never wanted, 5 not at all
    counts = np.zeros((6, 6), np.int64)  # class 4 is never wanted, class 5 neither wanted nor found
    np.add.at(counts, (wanted, found), 1)
    ours = scores(torch.from_numpy(counts))
    known = [0, 1, 2, 3, 4]
    assert ours["pixel_accuracy"] == pytest.approx(100 * accuracy_score(wanted, found), rel=1e-12)
    assert ours["mean_iou"] == pytest.approx(
        100 * jaccard_score(wanted, found, labels=known, average="macro", zero_division=0), rel=1e-12
    )
    assert ours["class_accuracy"] == pytest.approx(
        100 * recall_score(wanted, found, labels=known[:4], average="macro"), rel=1e-12
    )


def test_confusion_counts_every_pixel_that_has_a_class() -> None:
    class Brightest(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            return pictures

    pictures = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    classes = torch.randint(-1, 3, (20, 8, 8))
    counts = confusion(Brightest(), pictures, classes, 3)
    found = pictures.int().argmax(1)
    for row in range(3):
        for column in range(3):
            assert counts[row, column] == ((classes == row) & (found == column)).sum()
    assert counts.sum() == (classes != IGNORED).sum()


def test_a_pixel_has_the_class_of_the_nearest_colour() -> None:
    palette = Palette("A", {"red": (250, 0, 0), "sky": (0, 100, 250)}, ignored=((0, 0, 0),))
    pixels = [[240, 20, 5], [30, 90, 220], [10, 20, 20], [250, 0, 0]]
    maps = torch.tensor(pixels, dtype=torch.uint8).T.reshape(1, 3, 2, 2)
    assert class_map(maps, palette).tolist() == [[[0, 1], [IGNORED, 0]]]


def test_l1_is_the_mean_absolute_difference() -> None:
    found = measured(L1Config(), lambda inputs: inputs)
    splits: tuple[tuple[str, SplitName], ...] = (("val_l1", "validation"), ("l1", "test"))
    for name, split in splits:
        inputs, targets = whole(DATA.inputs[split]).double(), whole(getattr(DATA, split)).double()
        assert found[name].value == pytest.approx(((inputs - targets).abs() / 255).mean().item(), rel=1e-12)
        assert found[name].protocol["pairs"] == len(inputs)
    assert measured(L1Config(), lambda inputs: inputs, test=False).keys() == {"val_l1"}


def test_perfect_translations_have_the_fd_of_the_targets_to_themselves() -> None:
    """Each split's translations are compared with that split."""
    by_input = {
        tuple(i.flatten()[:40].tolist()): t
        for split in SPLITS
        for i, t in zip(whole(DATA.inputs[split]), whole(getattr(DATA, split)), strict=True)
    }

    def perfect(inputs: Tensor) -> Tensor:
        return torch.stack([by_input[tuple(one.flatten()[:40].tolist())] for one in inputs])

    found = measured(FrechetConfig(), perfect)
    assert found["val_fd_classifier"].value == pytest.approx(0, abs=1e-4)
    assert found["fd_classifier"].value == pytest.approx(0, abs=1e-4)
    assert found["fd_classifier"].protocol["num_samples"] == len(DATA.test)
    assert found["fd_classifier"].protocol["inputs"] == "each of the test split once"
    assert measured(FrechetConfig(), lambda inputs: inputs)["fd_classifier"].value > 1e-3


def test_real_targets_reach_what_the_protocol_says_of_them() -> None:
    by_input = {
        tuple(i.flatten()[:40].tolist()): t
        for i, t in zip(whole(DATA.inputs["test"]), whole(DATA.test), strict=True)
    }
    fallback = torch.zeros(3, 64, 64, dtype=torch.uint8)

    def perfect(inputs: Tensor) -> Tensor:
        return torch.stack([by_input.get(tuple(one.flatten()[:40].tolist()), fallback) for one in inputs])

    found = measured(SegmentationConfig(), perfect)
    assert set(found) == {
        f"{split}{score}_unet"
        for split in ("val_", "")
        for score in ("mean_iou", "pixel_accuracy", "class_accuracy")
    }
    for name in ("mean_iou_unet", "pixel_accuracy_unet", "class_accuracy_unet"):
        assert found[name].value == pytest.approx(found[name].protocol["of_real_targets"], abs=1e-3)
        assert found[name].protocol["classes"] == len(PALETTE.colours)


def test_the_segmenter_learns() -> None:
    """Targets that equal their label maps are easy."""
    easy = replace(DATA, train=DATA.inputs["train"], content_hash="easy")
    network, _ = segmentation.open_segmenter(SegmentationConfig(), easy, torch.device("cpu"))
    classes = class_map(whole(DATA.inputs["train"]), PALETTE)
    counts = confusion(network, whole(DATA.inputs["train"]), classes, len(PALETTE.colours))
    most_frequent = 100 * counts.sum(1).max() / counts.sum()
    assert scores(counts)["pixel_accuracy"] > float(most_frequent) + 5


def test_data_without_label_maps_are_refused_before_training() -> None:
    plain = replace(DATA, palette=None)
    with pytest.raises(UserError, match="the inputs of toy pairs are no label maps with known colours"):
        prepare([SegmentationConfig()], Preparation(plain, torch.device("cpu")))


def test_torchvisions_segmenters_come_from_a_file(tmp_path: Path) -> None:
    from torchvision.models.segmentation import fcn_resnet50

    file = tmp_path / "fcn.pth"
    with torch.random.fork_rng():
        torch.save(fcn_resnet50(weights=None, weights_backbone=None, num_classes=3).state_dict(), file)
    config = SegmentationConfig(segmenter="fcn_resnet50", weights=file)
    found = measured(config, lambda inputs: inputs, test=False)
    assert set(found) == {f"val_{s}_fcn_resnet50" for s in ("mean_iou", "pixel_accuracy", "class_accuracy")}
    assert len(found["val_mean_iou_fcn_resnet50"].protocol["weights_sha256"]) == 64
    torch.save({"weight": torch.zeros(3)}, file)
    with pytest.raises(UserError, match=r"fcn\.pth: no weights of a fcn_resnet50 for 3 classes"):
        measured(config, lambda inputs: inputs)
    with pytest.raises(UserError, match=r"nowhere\.pth: there is no such file of weights"):
        segmentation.open_torchvision("fcn_resnet50", tmp_path / "nowhere.pth", 3)
    with pytest.raises(ValueError, match="weights go with segmenter"):
        SegmentationConfig(segmenter="fcn_resnet50")


@pytest.fixture
def lpips_files(tmp_path: Path) -> tuple[Path, Path]:
    from torchvision.models import alexnet

    weights, heads = tmp_path / "alexnet.pth", tmp_path / "alex.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(alexnet(weights=None).state_dict(), weights)
        fitted = {
            f"lin{stage}.model.1.weight": torch.rand(1, c, 1, 1) for stage, c in enumerate(lpips.CHANNELS)
        }
    torch.save(fitted, heads)
    return weights, heads


def test_lpips_equals_torchmetrics_with_the_same_weights(lpips_files: tuple[Path, Path]) -> None:
    from torchmetrics.functional.image.lpips import _LPIPS

    weights, heads = lpips_files
    theirs = _LPIPS(pretrained=False, net="alex", pnet_rand=True, use_dropout=True).eval()
    layers = torch.load(weights, weights_only=True)
    state = theirs.net.state_dict()
    named = {key: layers["features." + key.split(".", 1)[1]] for key in state}
    theirs.net.load_state_dict(named)
    for stage, weight in enumerate(torch.load(heads, weights_only=True).values()):
        getattr(theirs, f"lin{stage}").model[1].weight.data = weight
    ours = lpips.open_lpips(weights, heads)
    pictures = torch.rand(2, 3, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.no_grad():
        expected = theirs(pictures[0], pictures[1]).flatten()
        torch.testing.assert_close(ours(pictures[0], pictures[1]), expected, rtol=1e-4, atol=1e-6)
    assert (expected > 0).all()


def test_lpips_reads_its_files_and_refuses_others(lpips_files: tuple[Path, Path], tmp_path: Path) -> None:
    weights, heads = lpips_files
    config = LpipsConfig(weights=weights, heads=heads)
    assert set(measured(config, lambda inputs: inputs)) == {"val_lpips_alex", "lpips_alex"}
    with pytest.raises(UserError, match=r"alex\.pth: not the weights of torchvision's alexnet"):
        prepare([LpipsConfig(weights=heads, heads=heads)], Preparation(DATA, torch.device("cpu")))
    with pytest.raises(UserError, match=r"alexnet\.pth: not the heads of lpips 0\.1"):
        lpips.open_lpips(weights, weights)
    with pytest.raises(UserError, match=r"nowhere\.pth: there is no such file of weights"):
        lpips.open_lpips(tmp_path / "nowhere.pth", heads)
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"?")
    with pytest.raises(UserError, match=r"damaged\.pth: cannot be read as weights"):
        lpips.open_lpips(weights, damaged)
