"""The Inception extractor and its measures, with random weights in the published layout."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch_fidelity import feature_extractor_inceptionv3 as fidelity
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from ndabench.data.images import ImageData
from ndabench.errors import UserError
from ndabench.metrics.evaluating import prepare
from ndabench.metrics.generators import inception
from ndabench.metrics.generators.config import FrechetConfig, InceptionScoreConfig, KidConfig
from ndabench.metrics.generators.extraction import extract
from ndabench.metrics.generators.frechet import FrechetReference, frechet_distance, moments_of
from ndabench.metrics.generators.inception import WEIGHTS_FILE, WEIGHTS_URL, open_inception
from ndabench.metrics.subjects import Preparation
from tests.metrics.striped import TensorSplit, images_of, striped_images
from tests.metrics.toy_generator import measure

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like the published one, with weights that nobody trained."""
    path = tmp_path_factory.mktemp("inception") / WEIGHTS_FILE
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = fidelity.FeatureExtractorInceptionV3("random", ["2048"])
    torch.save(network.state_dict(), path)
    return path


class Given(torch.nn.Module):
    """Lets torchmetrics measure features that are there already."""

    num_features = 64

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Metric `:UserWarning", "ignore:std\\(\\):UserWarning")
def test_features_and_measures_agree_with_torchmetrics(weights: Path, data: ImageData) -> None:
    real_images, fake_images = images_of(data.test)[:6], striped_images(6, seed=9)[0]
    few_real = TensorSplit(real_images, torch.zeros(6))
    few = replace(data, content_hash="few", validation=few_real, test=few_real)
    shared = {"extractor": "inception", "weights": weights, "num_samples": 6}
    evaluations = [
        FrechetConfig(**shared),
        KidConfig(**shared, subset_size=6, num_subsets=1),
        InceptionScoreConfig(**shared, num_splits=1),
    ]
    measured = measure(evaluations, lambda n: fake_images[:n], few, "test")

    theirs = NoTrainInceptionV3("random", ["2048", "logits_unbiased"], str(weights), antialias=False)
    real, _ = theirs._torch_fidelity_forward(real_images)
    fake, logits = theirs._torch_fidelity_forward(fake_images)
    kid = KernelInceptionDistance(Given(), subsets=1, subset_size=6).set_dtype(torch.float64)
    kid.update(real.double(), real=True)
    kid.update(fake.double(), real=False)
    score = InceptionScore(Given(), splits=1)
    score.update(logits.double())
    # Their eigenvalues of a 2048×2048 product take minutes; six centred images need a 6×6 SVD instead.
    x, y = real.double(), fake.double()
    between = torch.linalg.svdvals((x - x.mean(0)) @ (y - y.mean(0)).T).sum() / 5
    fid = (x.mean(0) - y.mean(0)).square().sum() + x.var(0).sum() + y.var(0).sum() - 2 * between

    expected = {"fid": fid, "kid": kid.compute()[0], "inception_score": score.compute()[0]}
    assert list(measured) == list(expected)
    for name, value in expected.items():
        assert measured[name].value == pytest.approx(value.item(), rel=2e-3), name


@pytest.mark.slow
def test_distance_of_inception_features_agrees_with_torchmetrics(weights: Path, data: ImageData) -> None:
    extractor = open_inception(weights=weights, download=False, device=CPU)
    real, fake = (
        extract(extractor, [images])[0][:, :64]
        for images in (images_of(data.test)[:12], images_of(data.validation)[:9])
    )
    theirs = FrechetInceptionDistance(Given(), normalize=False).set_dtype(torch.float64)
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    reference = FrechetReference.of(moments_of(real).gaussian())
    assert frechet_distance(reference, moments_of(fake).gaussian()) == pytest.approx(
        theirs.compute().item(), rel=1e-5
    )


@pytest.mark.slow
def test_grey_images_are_seen_in_three_channels(weights: Path) -> None:
    grey, _ = striped_images(2, seed=3, channels=1)
    extractor = open_inception(weights=weights, download=False, device=CPU)
    features, logits = extract(extractor, [grey])
    colour, _ = extract(extractor, [grey.repeat(1, 3, 1, 1)])
    assert features.shape == (2, 2048)
    assert logits.shape == (2, 1008)
    torch.testing.assert_close(features, colour)


def test_weights_are_told_by_their_hash(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDABENCH_INCEPTION_WEIGHTS", str(weights))
    extractor = open_inception(weights=None, download=False, device=CPU)
    assert extractor.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert extractor.details == {"weights": "not the published file"}


def test_missing_weights_stop_before_training(data: ImageData) -> None:
    with pytest.raises(UserError) as error:
        prepare([FrechetConfig(extractor="inception")], Preparation(data, CPU))
    message = str(error.value)
    assert f"download {WEIGHTS_URL} and name the file in `weights`" in message
    for way in ("NDABENCH_INCEPTION_WEIGHTS", "`download: true`", "`extractor: classifier`"):
        assert way in message
    assert "\n" not in message


def test_a_wrong_path_is_named(data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = FrechetConfig(extractor="inception", weights=tmp_path / "absent.pth")
    with pytest.raises(UserError, match=r"absent.pth: no such file \(weights must name"):
        prepare([missing], Preparation(data, CPU))
    monkeypatch.setenv("NDABENCH_INCEPTION_WEIGHTS", str(tmp_path / "gone.pth"))
    with pytest.raises(UserError, match=r"gone.pth: no such file \(NDABENCH_INCEPTION_WEIGHTS must name"):
        prepare([FrechetConfig(extractor="inception")], Preparation(data, CPU))


@pytest.mark.parametrize("content", ["text", "tensor", "other network", "code"])
def test_a_file_with_something_else_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if content == "text":
        path.write_text("these are no weights")
    else:
        things = {"tensor": torch.zeros(2), "other network": {"a": torch.zeros(2)}, "code": Path("anything")}
        torch.save(things[content], path)
    with pytest.raises(UserError, match=r"weights.pth: does not hold the Inception-v3 weights"):
        open_inception(weights=path, download=False, device=CPU)


def test_a_failed_download_says_what_else_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(
        UserError, match=r"downloading the Inception weights failed .*no network.* by other means"
    ):
        open_inception(weights=None, download=True, device=CPU)


@pytest.mark.slow
def test_a_download_is_asked_for_once_and_again_if_it_is_damaged(
    weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def copy(url: str, target: str, hash_prefix: str, progress: bool) -> None:
        asked.append((url, hash_prefix))
        shutil.copyfile(weights, target)

    monkeypatch.setattr(torch.hub, "download_url_to_file", copy)
    monkeypatch.setattr(inception, "SHA256_PREFIX", hashlib.sha256(weights.read_bytes()).hexdigest()[:8])
    monkeypatch.setenv("NDABENCH_CACHE", str(cache / "downloads"))
    for _ in range(2):
        open_inception(weights=None, download=True, device=CPU)
    assert asked == [(WEIGHTS_URL, inception.SHA256_PREFIX)]

    kept = cache / "downloads" / "inception" / WEIGHTS_FILE
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    with pytest.raises(UserError, match="needs its weights: download"):
        open_inception(weights=None, download=False, device=CPU)
    open_inception(weights=None, download=True, device=CPU)
    assert kept.read_bytes() == weights.read_bytes()
    assert caplog.messages == [f"{kept}: damaged (its SHA-256 sum is not the published one)"] * 2
