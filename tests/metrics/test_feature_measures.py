"""Measures of two sets of features, against the papers' formulas in float64 loops."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from ndabench.config import parse
from ndabench.data.images import ImageData
from ndabench.errors import UserError
from ndabench.metrics.generators import distances
from ndabench.metrics.generators.cmmd import cmmd
from ndabench.metrics.generators.conditional import class_frechet
from ndabench.metrics.generators.distances import nearest, squared_distances
from ndabench.metrics.generators.fd_infinity import fd_infinity
from ndabench.metrics.generators.feature_config import FeatureMeasure
from ndabench.metrics.generators.feature_measures import Compared, compare
from ndabench.metrics.generators.frechet import FrechetReference, frechet_distance, moments_of
from ndabench.metrics.generators.manifolds import density_coverage, precision_recall
from ndabench.metrics.generators.memorization import memorization
from ndabench.metrics.registry import EvaluationConfig
from tests.metrics.measuring import evaluate_all
from tests.metrics.striped import striped_images
from tests.metrics.toy_generator import subject

DIMENSION = 5
Rows = list[list[float]]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, the last one partial."""
    monkeypatch.setattr(distances, "BLOCK_BYTES", 4 * 7 * 40)


def features(num: int, seed: int, shift: float = 0.0) -> Tensor:
    generator = Generator().manual_seed(seed)
    return torch.randn(num, DIMENSION, generator=generator) + 3.0 + shift


def distance(x: list[float], y: list[float]) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))


def radii(rows: Rows, k: int) -> list[float]:
    """The distance of each row to its k-th nearest other."""
    return [sorted(distance(x, y) for j, y in enumerate(rows) if j != i)[k - 1] for i, x in enumerate(rows)]


def compared(real: Tensor, fake: Tensor, **more: Any) -> Compared:
    return Compared(real, fake, lambda: FrechetReference.of(moments_of(real).gaussian()), **more)


def configured(name: str, **keys: Any) -> FeatureMeasure:
    config = parse(EvaluationConfig, {"name": name, **keys}, "evaluate")
    assert isinstance(config, FeatureMeasure)
    return config


def test_blocks_are_the_distances() -> None:
    x, y = features(23, 0), features(40, 1)
    whole = torch.cat([block for _, block in squared_distances(x, y)])
    torch.testing.assert_close(
        whole.double().sqrt(), torch.cdist(x.double(), y.double()), rtol=1e-5, atol=1e-5
    )
    found, rows = nearest(x, y, 3)
    expected = torch.cdist(x.double(), y.double()).topk(3, largest=False)
    torch.testing.assert_close(found, expected.values, rtol=1e-12, atol=0)
    assert torch.equal(rows, expected.indices)


def test_precision_and_recall_are_kynkaanniemis() -> None:
    real, fake = features(40, 0), features(31, 1, 0.7)
    xs, ys = real.double().tolist(), fake.double().tolist()
    rx, ry = radii(xs, 3), radii(ys, 3)
    precision = sum(any(distance(y, x) <= r for x, r in zip(xs, rx, strict=True)) for y in ys) / len(ys)
    recall = sum(any(distance(x, y) <= r for y, r in zip(ys, ry, strict=True)) for x in xs) / len(xs)
    assert precision_recall(real, fake, k=3) == pytest.approx((precision, recall), abs=1e-7)
    assert 0 < recall < 1


def test_density_and_coverage_are_naeems() -> None:
    real, fake = features(40, 0), features(31, 1, 0.7)
    xs, ys = real.double().tolist(), fake.double().tolist()
    rx = radii(xs, 5)
    density = sum(distance(y, x) < r for y in ys for x, r in zip(xs, rx, strict=True)) / (5 * len(ys))
    coverage = sum(min(distance(x, y) for y in ys) < r for x, r in zip(xs, rx, strict=True)) / len(xs)
    assert density_coverage(real, fake, k=5) == pytest.approx((density, coverage), abs=1e-7)
    assert 0 < coverage < 1


def test_cmmd_is_the_unbiased_estimate() -> None:
    real, fake = (torch.nn.functional.normalize(one, dim=1) for one in (features(40, 0), features(31, 1, 1)))
    xs, ys = real.double().tolist(), fake.double().tolist()

    def kernel(x: list[float], y: list[float]) -> float:
        return math.exp(-(distance(x, y) ** 2) / (2 * 10.0**2))

    def within(rows: Rows) -> float:
        pairs = [kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]
        return sum(pairs) / len(pairs)

    between = sum(kernel(x, y) for x in xs for y in ys) / (len(xs) * len(ys))
    expected = 1000 * (within(xs) + within(ys) - 2 * between)
    assert cmmd(real, fake, sigma=10) == pytest.approx(expected, abs=1e-6)


def test_memorization_counts_pairs_and_auth_pct_the_authentic() -> None:
    train, held_out, fake = features(40, 0), features(20, 1), features(25, 2)
    fake[:10] = train[:10]
    ts, hs, ys = (one.double().tolist() for one in (train, held_out, fake))
    rt = radii(ts, 1)
    closest = [int(np.argmin([distance(y, t) for t in ts])) for y in ys]
    to_train = [distance(y, ts[j]) for y, j in zip(ys, closest, strict=True)]
    held = [min(distance(h, t) for t in ts) for h in hs]
    share = sum((d < h) + (d == h) / 2 for d in to_train for h in held) / (len(ys) * len(hs))
    authentic = 100 * sum(d > rt[j] for d, j in zip(to_train, closest, strict=True)) / len(ys)
    assert memorization(train, held_out, fake) == pytest.approx((share, authentic), rel=1e-12)
    assert memorization(train, held_out, train) == (1.0, 0.0)
    assert memorization(train, held_out, held_out)[0] == 0.5


def test_fd_infinity_removes_the_bias_of_few_samples() -> None:
    """Against the numpy line over 1 / N; of equal distributions it is nearer to 0 than the plain distance."""
    real, fake = features(4000, 0), features(2000, 1)
    reference = FrechetReference.of(moments_of(real).gaussian())
    value, slope = fd_infinity(
        reference, fake, smallest=100, num_points=8, generator=Generator().manual_seed(0)
    )
    generator, sizes, found = Generator().manual_seed(0), np.linspace(100, 2000, 8).astype(int), []
    for size in sizes:
        rows = fake[torch.randperm(2000, generator=generator)[: int(size)]]
        found.append(frechet_distance(reference, moments_of(rows).gaussian()))
    design = np.stack([1 / sizes, np.ones(8)], 1)
    expected = np.linalg.solve(design.T @ design, design.T @ np.array(found))
    assert (slope, value) == pytest.approx(tuple(expected), rel=1e-6)
    assert slope > 0
    assert abs(value) < found[0]


def test_class_fd_is_the_distance_within_each_class() -> None:
    real, fake = features(40, 0), features(30, 1)
    ours, theirs = torch.arange(40) % 2, torch.arange(30) % 2
    found = class_frechet(real, ours, fake, theirs, ("even", "odd"))
    for index in range(2):
        reference = FrechetReference.of(moments_of(real[ours == index]).gaussian())
        alone = frechet_distance(reference, moments_of(fake[theirs == index]).gaussian())
        assert found[index] == pytest.approx(alone, rel=1e-9)
    with pytest.raises(UserError, match="2 generated images of class 'odd', got 0"):
        class_frechet(real, ours, fake, torch.zeros(30, dtype=torch.long), ("even", "odd"))


def test_cas_is_high_for_images_of_the_right_class_only() -> None:
    labels = torch.arange(60) % 3
    directions = torch.eye(DIMENSION)[:3] * 6
    real, fake = features(60, 0) + directions[labels], features(60, 1) + directions[labels]
    right, wrong = (
        compare(
            configured("cas", num_samples=60, **keys),
            compared(real, fake, real_labels=labels, fake_labels=drawn_for, class_names=("a", "b", "c")),
        )
        for drawn_for, keys in ((labels, {}), ((labels + 1) % 3, {"max_iterations": 1}))
    )
    assert right[0]["cas_classifier"] > 95
    assert right[1] == ()
    assert wrong[0]["cas_classifier"] < 5
    (note,) = wrong[1]
    assert note.startswith(
        "cas_classifier: the fit with penalty 0.01 stopped before the minimum, at a largest"
    )
    assert note.endswith("instead of 1.0e-06; raise max_iterations")


def test_the_protocol_of_cas_says_when_its_fit_ends() -> None:
    fit = {"largest_gradient": 1e-6, "largest_gradient_per_penalty": 0.01, "fit_precision": "float64"}
    assert configured("cas").settings == {"l2": 0.01, "max_iterations": 10_000, **fit}


MEASURES = {
    "fd_infinity": {"smallest": 10, "num_points": 4},
    "precision_recall": {},
    "density_coverage": {},
    "cmmd": {},
    "memorization": {},
}


@pytest.mark.parametrize("name", MEASURES)
def test_degenerate_images_give_a_note_or_one_line(name: str) -> None:
    config = configured(name, num_samples=40, **MEASURES[name])
    real = features(50, 0)
    collapsed = real[:1].expand(40, -1).contiguous()
    values, notes = compare(config, compared(real, collapsed, train=lambda: features(50, 3)))
    assert all(math.isfinite(value) for value in values.values())
    assert any("all 40 generated images have equal features" in note for note in notes)
    broken = features(40, 1)
    broken[3, 2] = math.nan
    with pytest.raises(UserError, match="1 of 40 generated images have features that are not finite"):
        compare(config, compared(real, broken))
    with pytest.raises(UserError, match=r"needs at least \d generated images, got 1"):
        compare(config, compared(real, features(1, 1)))


def test_classes_of_few_images_give_a_note() -> None:
    labels = torch.arange(40) % 4
    few = labels.clone()
    few[labels == 3] = 0
    few[[3, 7]] = 3
    classes = {"class_names": tuple("abcd"), "real_labels": labels}
    config = configured("class_fd", num_samples=40)
    _, notes = compare(config, compared(features(40, 0), features(40, 1), fake_labels=few, **classes))
    assert [note.split(";")[0] for note in notes] == [
        "class_fd_classifier: 2 generated images of the smallest class are fewer than the 5 dimensions of "
        "their features"
    ]
    _, notes = compare(config, compared(features(40, 0), features(40, 1), fake_labels=labels, **classes))
    assert notes == ()


def test_two_samples_suffice_where_no_neighbours_are_needed() -> None:
    values, _ = compare(configured("cmmd", num_samples=2), compared(features(50, 0), features(2, 1)))
    assert math.isfinite(values["cmmd_classifier"])


def test_names_follow_the_extractor() -> None:
    names = {
        (one, extractor): configured(one, extractor=extractor).measures
        for one in ("cmmd", "precision_recall", "fd_infinity")
        for extractor in ("clip", "inception")
    }
    assert names["cmmd", "clip"] == ("cmmd",)
    assert names["cmmd", "inception"] == ("cmmd_inception",)
    assert names["precision_recall", "inception"] == ("precision_inception", "recall_inception")
    assert names["fd_infinity", "inception"] == ("fid_infinity",)


def test_a_generator_is_measured_with_a_whole_protocol(data: ImageData) -> None:
    evaluations = [
        configured(name, num_samples=120, **({**keys, "smallest": 70} if name == "fd_infinity" else keys))
        for name, keys in MEASURES.items()
    ]
    found = evaluate_all(evaluations, subject(lambda n: striped_images(n, seed=7)[0], data), test=True)
    wanted = [value for one in evaluations for value in one.measures]
    assert set(found.measurements) == {f"{split}{one}" for one in wanted for split in ("", "val_")}
    precision = found.measurements["precision_classifier"]
    assert precision.value > 0.5
    assert (precision.protocol["k"], precision.protocol["num_samples"]) == (3, 120)
    assert precision.protocol["weights"] == "ema"
    assert found.measurements["auth_pct_classifier"].value > 20


def test_images_of_no_class_are_refused(data: ImageData) -> None:
    config = configured("class_fd", num_samples=60)
    with pytest.raises(UserError, match="class_fd and cas need a conditional generator"):
        evaluate_all([config], subject(lambda n: striped_images(n, seed=7)[0], data), test=False)
