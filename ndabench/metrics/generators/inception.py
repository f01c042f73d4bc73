"""The Inception-v3 of 2015-12-05, whose features define FID, KID and the Inception Score.

torch-fidelity's port of the TensorFlow graph: its batch-norm and pooling peculiarities, a bilinear resize to
299×299 as TensorFlow 1 does it (no half-pixel centres, no antialiasing), images scaled to (x − 128) / 128.
Features are the 2048 pooled activations, logits those without bias, as the original scripts have them. Grey
images are repeated to three channels.
"""

import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from filelock import FileLock

from ndabench.data.build_cache import cache_folder
from ndabench.errors import UserError
from ndabench.metrics.generators.extraction import Extractor
from ndabench.metrics.generators.extractor_registry import EXTRACTORS, INCEPTION
from ndabench.models.weight_files import file_sha256, read_state

WEIGHTS_VARIABLE = "NDABENCH_INCEPTION_WEIGHTS"
WEIGHTS_FILE = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS_FILE}"
SHA256_PREFIX = EXTRACTORS[INCEPTION].sha256

_log = logging.getLogger(__name__)


def open_inception(*, weights: Path | None, download: bool, device: torch.device) -> Extractor:
    """The extractor with the given weights file, else the environment's, else the downloaded one.

    Raises `UserError` if there is none (saying how to get one) or the file holds something else.
    """
    path = _weights_path(weights, download=download)
    return _load(path, file_sha256(path), device)


def _weights_path(weights: Path | None, *, download: bool) -> Path:
    given = weights or (Path(os.environ[WEIGHTS_VARIABLE]) if os.environ.get(WEIGHTS_VARIABLE) else None)
    if given is not None:
        path = given.expanduser().absolute()
        if not path.is_file():
            where = "weights" if weights else WEIGHTS_VARIABLE
            raise UserError(f"{path}: no such file ({where} must name the Inception weights, {WEIGHTS_FILE})")
        return path
    path = cache_folder() / "inception" / WEIGHTS_FILE
    damaged = path.is_file() and not file_sha256(path).startswith(SHA256_PREFIX)
    if damaged:
        _log.warning("%s: damaged (its SHA-256 sum is not the published one)", path)
    if (damaged or not path.is_file()) and not download:
        raise UserError(
            f"the inception extractor needs its weights: download {WEIGHTS_URL} and name the file in "
            f"`weights` or in the environment variable {WEIGHTS_VARIABLE}, or set `download: true`; "
            "`extractor: classifier` needs no weights"
        )
    if damaged:
        path.unlink(missing_ok=True)
    if not path.is_file():
        _download(path)
    return path


def _download(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file():
                torch.hub.download_url_to_file(WEIGHTS_URL, str(path), SHA256_PREFIX, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise UserError(
            f"downloading the Inception weights failed ({error}); get {WEIGHTS_URL} by other means "
            f"and name the file in `weights` or {WEIGHTS_VARIABLE}"
        ) from None


@lru_cache(maxsize=1)
def _load(path: Path, digest: str, device: torch.device) -> Extractor:
    network = _network(path).to(device)
    return Extractor(
        name=INCEPTION,
        weights_sha256=digest,
        forward=lambda images: network(images.expand(-1, 3, -1, -1)),
        details={"weights": "2015-12-05" if digest.startswith(SHA256_PREFIX) else "not the published file"},
    )


def _network(path: Path) -> Any:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # late: optional
    except ImportError:
        raise UserError("the inception extractor needs torch-fidelity: pip install torch-fidelity") from None
    refused = UserError(f"{path}: does not hold the Inception-v3 weights of {WEIGHTS_FILE}")
    try:
        # torch-fidelity unpickles whatever it is given; this read refuses anything but tensors before that.
        read_state(path)
    except UserError:
        raise refused from None
    try:
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(path))
    except (RuntimeError, TypeError):
        raise refused from None
