"""A cache folder that is nobody's own, and the data that most tests measure on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ndabench.data.images import ImageData
from ndabench.data.registry import load_data
from ndabench.data.videos.clips import ClipData
from ndabench.metrics.generators import classifier
from tests.metrics.recognising import CPU, digits
from tests.metrics.striped import striped_data


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all tests here, so that the classifier is trained once; and a short training."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NDABENCH_CACHE", str(folder))
        patch.setattr(classifier, "FEWEST_IMAGES", 1_200)
        patch.delenv("NDABENCH_INCEPTION_WEIGHTS", raising=False)
        yield folder


@pytest.fixture(scope="session")
def data(cache: Path) -> ImageData:
    return striped_data()


@pytest.fixture(scope="session")
def clips(cache: Path) -> ClipData:
    return load_data(digits(), device=CPU)
