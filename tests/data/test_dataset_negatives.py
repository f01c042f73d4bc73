"""Negatives that are images of another data set: what is drawn, for which label, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ndabench.augmentations.compose import mixture
from ndabench.augmentations.specification import NegativeSpec, check
from ndabench.config import Config, parse
from ndabench.data.images import to_uint8
from ndabench.data.negatives import kept
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.tasks.contrastive.method import random_streams
from ndabench.tasks.contrastive.view_pairs import view_pairs
from ndabench.tasks.gan.task import labelled
from ndabench.tasks.setup import TrialSetup
from ndabench.trials.config import Provenance, TrialConfig
from ndabench.trials.negative_data import negative_data, require_apart
from ndabench.trials.run import prepare, run_trial
from tests.tasks.contrastive_toys import toy_pictures, toy_settings

CPU = torch.device("cpu")
DOTS = {"name": "dots", "count": [1, 2], "num_images": 60}


class Arm(Config):
    negative: NegativeSpec


def read(**keys: Any) -> Any:
    return parse(Arm, {"negative": {"name": "dataset", "data": DOTS, **keys}}, "arm").negative


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def folder_of(path: Path, *, channels: int = 3, side: int = 16, extra: int = 0) -> Path:
    """Class folders a, b and c of ten plain pictures each, whose level says the class."""
    for place, name in enumerate("abc"):
        (path / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.full((side, side, 3), 80 * place + number + extra, np.uint8)
            mode = "RGB" if channels == 3 else "L"
            Image.fromarray(pixels).convert(mode).save(path / name / f"{number}.png")
    return path


def training_images() -> torch.Tensor:
    split = kept(read().config.data, CPU).train
    [(images, _)] = split.batches([torch.arange(len(split))])
    return images


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16], ids=str)
def test_negatives_are_images_of_the_other_set(dtype: torch.dtype) -> None:
    batch = torch.zeros(50, 3, 32, 32, dtype=dtype)
    state = torch.get_rng_state()
    negatives = read().build()(batch, generator=seeded())
    assert (negatives.shape, negatives.dtype) == (batch.shape, dtype)
    assert not batch.any()
    assert torch.equal(torch.get_rng_state(), state)
    known = {image.numpy().tobytes() for image in training_images()}
    drawn = negatives if dtype == torch.uint8 else to_uint8(negatives)
    if dtype != torch.bfloat16:
        assert {image.numpy().tobytes() for image in drawn} <= known
    assert len({image.numpy().tobytes() for image in drawn}) > 20


def test_a_seed_fixes_the_draws_and_the_next_draws_are_others() -> None:
    negative, batch, generator = read().build(), torch.zeros(50, 3, 32, 32), seeded(3)
    first, second = (negative(batch, generator=generator) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, negative(batch, generator=seeded(3)))


def test_every_image_of_the_set_is_drawn_as_often() -> None:
    place = {image.numpy().tobytes(): number for number, image in enumerate(training_images())}
    assert len(place) == 43
    batch = torch.zeros(4300, 3, 32, 32, dtype=torch.uint8)
    drawn = [place.get(image.numpy().tobytes(), 99) for image in read().build()(batch, generator=seeded())]
    counts = np.bincount(drawn, minlength=43)
    assert ((counts - 100) ** 2 / 100).sum() < 80  # chi squared with 42 degrees of freedom: p = 0.0003


def test_it_mixes_and_chains_with_other_negatives() -> None:
    batch = torch.zeros(40, 3, 32, 32, dtype=torch.uint8)
    flip = parse(Arm, {"negative": "flip"}, "arm").negative
    mixed = mixture([read().build(), flip.build()], [1, 1])(batch, generator=seeded())
    assert 5 < int(mixed.flatten(1).any(1).sum()) < 35
    turned = parse(Arm, {"negative": {"chain": [read(), {"name": "rotate", "degrees": 180}]}}, "arm").negative
    expected = read().build()(batch, generator=seeded()).flip(2, 3)
    assert torch.equal(turned.build()(batch, generator=seeded()), expected)


def test_same_class_follows_the_names_of_the_classes(tmp_path: Path) -> None:
    path = str(folder_of(tmp_path / "set"))
    negative = read(data={"name": "image_folder", "path": path}, labels="same_class").build()
    drawn = labelled(negative, ("c", "a"), CPU)
    assert drawn is not None
    labels = torch.tensor([0, 1]).repeat(200)
    images = drawn(torch.zeros(400, 3, 16, 16, dtype=torch.uint8), labels, generator=seeded())
    levels = images[:, 0, 0, 0].int()
    assert torch.equal(levels // 80, torch.where(labels == 0, 2, 0).int())
    assert len(levels[labels == 1].unique()) == 8 - 1  # of ten, two are for testing, one for validation
    with pytest.raises(UserError, match=r"needs every class of the training data, but .*does not have d"):
        labelled(negative, ("a", "d"), CPU)


def test_a_negative_that_keeps_labels_does_not_look_at_them() -> None:
    negative, batch = read().build(), torch.zeros(4, 3, 32, 32)
    drawn = labelled(negative, ("x",), CPU)
    assert drawn is not None
    expected = negative(batch, generator=seeded())
    assert torch.equal(drawn(batch, torch.zeros(4), generator=seeded()), expected)
    assert labelled(None, ("x",), CPU) is None


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"channels": 1}, "images of dots 1.2 are 1×32×32 .*, the training images 3×32×32; set channels"),
        ({"image_size": 64}, "images of dots 1.2 are 3×64×64 .*, the training images 3×32×32"),
        ({"stream": True}, "dots 1.2 would be streamed, but negatives are kept in memory"),
    ],
)
def test_what_does_not_fit_is_one_line(keys: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        check(read(data={**DOTS, **keys}), (3, 32, 32))
    assert "\n" not in str(caught.value)


def trial(negative: dict[str, Any] | None, **keys: Any) -> TrialConfig:
    config = {"arm": "x", "task": "gan", "data": DOTS, "negative": negative, "lambda": 0.25, **keys}
    return parse(TrialConfig, config, "trial")


def test_a_negative_that_is_a_training_image_is_refused() -> None:
    data = kept(read().config.data, CPU)
    [same] = negative_data(trial({"name": "dataset", "data": DOTS}), CPU)
    with pytest.raises(UserError, match=r"60 images of dots 1.2 are also in dots 1.2, which the task learns"):
        require_apart(same, data)
    [other] = negative_data(trial({"name": "dataset", "data": {**DOTS, "seed": 1}}), CPU)
    require_apart(other, data)


def test_the_place_of_the_images_is_no_part_of_a_trial() -> None:
    here, there, other = (
        {"mixture": [{"of": {"name": "dataset", "data": {"name": "image_folder", **keys}}, "weight": 1}]}
        for keys in ({"path": "/a", "known_as": "s"}, {"path": "/b", "known_as": "s"}, {"path": "/a"})
    )
    assert trial(here).trial_id == trial(there).trial_id != trial(other).trial_id
    assert TrialConfig.from_json(trial(here).to_json()) == trial(here)


def test_arms_from_sets_of_different_seeds_are_different_arms() -> None:
    arms = [
        {"name": str(seed), "negative": {"name": "dataset", "data": {**DOTS, "seed": seed}}}
        for seed in (1, 2)
    ]
    config = parse(SweepConfig, {"name": "s", "task": "gan", "data": DOTS, "arms": arms}, "file")
    assert [one.negative.label for one in config.arms if one.negative is not None] == [
        "dataset(dots 1+2)"
    ] * 2
    ids = {one.trial_id.partition("-")[2] for one in config.grid_trials()}
    assert len(ids) == 2


def test_contrastive_keys_are_the_images_as_they_are() -> None:
    config = read(data={**DOTS, "image_size": 16, "smallest": 0.1, "largest": 0.15})
    settings = toy_settings(method="simclr", num_nda_keys=2)
    setup = TrialSetup(settings, toy_pictures(size=16), negative=config.build(), lambda_=1.0)
    batch = torch.zeros(8, 3, 16, 16, dtype=torch.uint8)
    [pair, _] = view_pairs(setup).inputs(batch, random_streams(setup))
    first, second = (to_uint8(images) for images in pair.nda)
    assert not torch.equal(first, second)
    split = kept(config.config.data, CPU).train
    [(images, _)] = split.batches([torch.arange(len(split))])
    known = {image.numpy().tobytes() for image in images}
    assert {image.numpy().tobytes() for image in (*first, *second)} <= known


def test_a_trial_is_prepared_with_its_negatives_and_records_their_content(tmp_path: Path) -> None:
    tiny = {
        "name": "dots",
        "count": [1],
        "image_size": 8,
        "smallest": 0.14,
        "largest": 0.15,
        "num_images": 40,
    }
    task = {"name": "gan", "width": 2, "latent_dim": 4, "batch_size": 4, "num_steps": 1, "num_sheet_rows": 1}
    keys: dict[str, Any] = {"task": task, "data": tiny}
    same = trial({"name": "dataset", "data": tiny}, **keys)
    with pytest.raises(UserError, match="40 images of dots 1 are also in dots 1"):
        prepare([same], CPU)
    good = trial({"name": "dataset", "data": {**tiny, "seed": 1}}, **keys)
    prepared = prepare([good], CPU)
    [negatives] = negative_data(good, CPU)
    assert prepared.negative_data == {"x": (negatives.content_hash,)}
    store = RecordStore(str(tmp_path))
    list(run_trial(good, store, Provenance("s"), Workers()))
    row = store.read_trial(good.trial_id)
    assert row is not None
    assert json.loads(row.negative_data_json or "") == [["dots 1", negatives.content_hash]]
    assert row.dataset_hash != negatives.content_hash
    plain = trial(None, **{**keys, "arm": "none", "lambda": 1.0})
    list(run_trial(plain, store, Provenance("s"), Workers()))
    row = store.read_trial(plain.trial_id)
    assert row is not None
    assert row.negative_data_json is None
