"""Detection transfer from an encoder: training, values, protocol, picture, and what is refused."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, nn

from ndabench.config import parse
from ndabench.data.detection.scattered_digits import ScatteredDigitsConfig
from ndabench.data.detection.scenes import Objects, scene
from ndabench.data.registry import SceneDataConfig, load_data
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.metrics.detection.average_precision import Detections
from ndabench.metrics.detection.config import DetectionConfig
from ndabench.metrics.detection.measure import check_detection
from ndabench.metrics.detection.sheet import detection_sheet
from ndabench.metrics.detection.training import DetectorDivergedError, DetectorTraining, picture_of
from ndabench.metrics.evaluating import prepare
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.metrics.subjects import Preparation
from ndabench.models.detector import Detector
from ndabench.models.resnet import ResNet
from tests.data.own_scenes import instances, write_coco, write_voc_folder, write_xml
from tests.metrics.measuring import evaluate_all
from tests.metrics.striped import striped_data
from tests.two_workers import on_two_workers

DATA = ScatteredDigitsConfig(canvas_size=48, num_train=20, num_validation=3, num_test=5)


def encoder(width: int = 4, image_channels: int = 3) -> ResNet:
    generator = Generator().manual_seed(0)
    return ResNet(depth=18, width=width, stem="cifar", image_channels=image_channels, generator=generator)


def config(**changes: Any) -> DetectionConfig:
    settings = {"num_steps": 2, "batch_size": 2, "short_side": 48, "num_rois": 8, "num_proposals": 10}
    return DetectionConfig(**{"data": DATA, **settings, **changes})


def train(
    settings: DetectionConfig, *, seed: int = 0, workers: Workers | None = None, width: int = 4
) -> tuple[list[float], Detector]:
    workers = workers or Workers()
    detector = Detector(
        encoder(width),
        num_classes=10,
        body=settings.body,
        batch_norm=settings.batch_norm,
        short_side=settings.short_side,
        num_rois=settings.num_rois,
        num_proposals=settings.num_proposals,
        seed=seed,
        workers=workers,
    )
    split = load_data(settings.data, torch.device("cpu")).train
    training = DetectorTraining(detector, split, settings, seed=seed, workers=workers)
    training.pause_every = 1
    return [training.loss for _ in training.run()], detector


def evaluate_detection(
    settings: DetectionConfig, network: nn.Module, *, test: bool, seed: int, workers: Workers
) -> tuple[dict[str, Measurement], dict[str, bytes]]:
    channels = getattr(network, "image_channels", 3)
    subject = ImageEncoderSubject(network, striped_data(channels=channels), seed=seed, workers=workers)
    evaluated = evaluate_all([settings], subject, test=test)
    return evaluated.measurements, evaluated.artifacts


def test_values_protocol_and_picture() -> None:
    network = encoder(image_channels=1).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    measured, artifacts = evaluate_detection(config(), network, test=True, seed=0, workers=Workers())
    names = DetectionConfig().metrics
    assert set(measured) == {*names, *(f"val_{name}" for name in names)}
    assert all(0 <= one.value <= 100 and one.unit == "%" and one.seconds > 0 for one in measured.values())
    test, validation = measured["coco_ap50"].protocol, measured["val_coco_ap50"].protocol
    assert (test["split"], test["num_evaluated"]) == ("test", 5)
    assert (validation["split"], validation["num_evaluated"]) == ("validation", 3)
    assert test["num_steps"] == 2
    assert test["data_hash"] == load_data(DATA, torch.device("cpu")).content_hash
    assert measured["voc07_ap"].protocol["difficult"] == "ignored"
    assert set(artifacts) == {"detections.png"}
    sheet = Image.open(io.BytesIO(artifacts["detections.png"]))
    assert sheet.width > 4 * 300
    assert not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("layout", ["voc_folder", "coco"])
def test_a_set_of_ones_own_from_files_to_values(tmp_path: Path, layout: str) -> None:
    if layout == "voc_folder":
        write_voc_folder(tmp_path / "cells")
        write_xml(tmp_path / "cells", 1, [("RBC", (-3, 4, 50, 20))])
    else:
        train = instances(range(14))
        train["annotations"][0]["iscrowd"] = 1
        train["annotations"][1]["bbox"] = [-3, 4, 53, 16]
        write_coco(tmp_path / "cells", {"train": train, "val": instances(range(14, 20))})
    data = parse(SceneDataConfig, {"name": layout, "path": tmp_path / "cells"}, "data")
    settings, said = config(data=data), list[str]()
    prepare([settings], Preparation(striped_data(), torch.device("cpu"), say=said.append))
    assert said[0].startswith(f"{layout}:cells: training+validation+test: ")
    assert sum("clipped to it: " in line for line in said) == 1
    subject = ImageEncoderSubject(encoder(), striped_data(channels=3), seed=0, workers=Workers())
    evaluated = evaluate_all([settings], subject, test=True)
    measured = evaluated.measurements
    assert all(0 <= one.value <= 100 for one in measured.values())
    assert {"voc07_ap", "voc10_ap50", "coco_ap75", "val_voc10_ap"} <= set(measured)
    protocol = measured["voc10_ap"].protocol
    assert (protocol["data"], protocol["num_classes"]) == (f"{layout}:cells", 3)
    assert protocol["interpolation"] == "area"
    assert evaluated.notes == tuple(said[1:])  # what the trial's row says, too


def test_without_test_only_validation_is_looked_at() -> None:
    measured, artifacts = evaluate_detection(config(), encoder(), test=False, seed=0, workers=Workers())
    assert set(measured) == {f"val_{name}" for name in DetectionConfig().metrics}
    assert artifacts == {}


@pytest.mark.parametrize("body", ["c4", "fpn"])
def test_two_runs_are_equal(body: str) -> None:
    settings = config(body=body, train_short_sides=[40, 48], horizontal_flip=True)
    state = torch.get_rng_state()
    first, one = train(settings)
    torch.manual_seed(5)
    second, two = train(settings)
    torch.set_rng_state(state)
    assert first == second
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert train(settings, seed=1)[0] != first


@pytest.mark.slow
def test_the_loss_falls() -> None:
    values, _ = train(config(num_steps=30, learning_rate=0.01, warm_up_steps=5, batch_norm="frozen"), width=8)
    assert sum(values[-5:]) < 0.7 * sum(values[:5])


def test_learning_rate_warms_up_and_falls() -> None:
    settings = config(num_steps=100, warm_up_steps=4, decay_at=(0.5, 0.75))
    factors = [settings.rate_factor(step) for step in (0, 3, 49, 50, 75)]
    assert factors == pytest.approx([0.25, 1, 1, 0.1, 0.01])


def test_a_detector_that_diverges_has_no_values_and_costs_no_encoder() -> None:
    wild = config(num_steps=20, warm_up_steps=0).model_copy(update={"learning_rate": 1e12})
    with pytest.raises(DetectorDivergedError, match=r"loss_\w+ is (nan|inf) at step \d+"):
        train(wild)
    measured, artifacts = evaluate_detection(wild, encoder(), test=True, seed=0, workers=Workers())
    values = {name: one.value for name, one in measured.items()}
    assert 0 <= values.pop("detection_diverged_at") < 20
    assert len(values) == 18
    assert all(math.isnan(value) for value in values.values())
    assert not artifacts
    fine, _ = evaluate_detection(config(num_steps=2), encoder(), test=True, seed=0, workers=Workers())
    for name in values:
        assert {*fine[name].protocol} == {*measured[name].protocol}, "both stand in one table"


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match="needs a ResNet as its encoder, not Linear"):
        evaluate_detection(config(), nn.Linear(2, 2), test=False, seed=0, workers=Workers())
    with pytest.raises(UserError, match="batch_size 3 cannot be shared equally by 2 workers"):
        check_detection(config(batch_size=3), 3, num_workers=2)
    with pytest.raises(UserError, match="batch_size 21 must not exceed the 20 training pictures"):
        check_detection(config(batch_size=21), 3, num_workers=1)
    with pytest.raises(UserError, match="grey or RGB, but the encoder sees 2 channels"):
        check_detection(config(), 2, num_workers=1)
    with pytest.raises(UserError, match=r"decay_at\.0: input should be less than 1, got 18000"):
        parse(DetectionConfig, {"decay_at": [18_000, 22_000]}, "evaluate")
    with pytest.raises(UserError, match="every"):
        parse(DetectionConfig, {"every": 10}, "evaluate")


def test_grey_encoders_see_grey_pictures() -> None:
    one = load_data(DATA, torch.device("cpu")).test[0]
    colour, grey = (picture_of(one, channels, torch.device("cpu")) for channels in (3, 1))
    assert colour.shape == (3, 48, 48)
    assert grey.shape == (1, 48, 48)
    assert colour.min() >= -1
    assert colour.max() <= 1
    expected = Image.fromarray(one.image.permute(1, 2, 0).numpy()).convert("L")
    pixels = torch.from_numpy(np.array(expected))[None] / 127.5 - 1
    torch.testing.assert_close(grey, pixels, atol=1 / 127, rtol=0)


def test_the_sheet_shows_true_boxes_and_sure_finds_only() -> None:
    boxes = torch.tensor([[4.0, 4, 20, 20]])
    shown = scene(
        torch.zeros(3, 32, 32, dtype=torch.uint8), Objects(boxes, torch.tensor([1]), torch.tensor([False]))
    )

    def colours(score: float) -> set[object]:
        found = Detections(boxes + 8, torch.tensor([score]), torch.tensor([0]))
        picture = Image.open(io.BytesIO(detection_sheet([shown], [found], ("cat", "dog"))))
        counted = picture.crop((0, 0, picture.width, 320)).getcolors(100_000)
        assert counted is not None
        return {colour for _, colour in counted}

    true, found = (86, 180, 233), (230, 159, 0)
    assert {true, found} <= colours(0.9)
    assert true in colours(0.4)
    assert found not in colours(0.4)


def measure(workers: Workers) -> tuple[list[float], dict[str, float]]:
    """Losses of pictures of different sizes, which are padded to the largest; and five test pictures."""
    settings = config(num_steps=4, batch_size=4, train_short_sides=[32, 48, 64], learning_rate=0.001)
    values, _ = train(settings, workers=workers)
    measured, _ = evaluate_detection(settings, encoder(), test=True, seed=0, workers=workers)
    return values, {name: one.value for name, one in measured.items()}


@pytest.mark.slow
def test_two_workers_take_the_steps_of_one(tmp_path: Path) -> None:
    losses, values = measure(Workers())
    first, second = on_two_workers(measure, tmp_path)
    assert first == second
    assert first[0] == pytest.approx(losses, rel=1e-4)
    assert first[1] == pytest.approx(values, abs=0.5)


@pytest.mark.slow
@pytest.mark.release
def test_a_detector_learns_to_find_digits() -> None:
    data = ScatteredDigitsConfig(num_validation=50)
    settings = DetectionConfig(num_steps=250, batch_norm="live", data=data)
    measured, _ = evaluate_detection(settings, encoder(width=16), test=False, seed=0, workers=Workers())
    assert measured["val_coco_ap50"].value > 10
