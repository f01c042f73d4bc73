"""How a sweep file names the weights that a training starts from: by path and by content hash."""

import hashlib
import stat
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ndabench.config import Config
from ndabench.data.config import FullPath

BEGINNINGS = (b"PK\x03\x04", b"\x80\x02")
"""Of files that torch.save writes: a ZIP archive or, before torch 1.6, a pickle."""
SAFETENSORS = ".safetensors"


class _WeightsFile(Config):
    """A state dict, such as the `encoder.pt` of another trial, or a safetensors file."""

    path: FullPath
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of the file, filled in when the sweep file is read: other weights under the same name are
    another training."""


def _with_content(value: Any) -> Any:
    """`encoder.pt` is short for a mapping."""
    keys = {"path": value} if isinstance(value, str | Path) else value
    if not isinstance(keys, Mapping) or "sha256" in keys or not isinstance(keys.get("path"), str | Path):
        return keys
    try:
        path = Path(keys["path"]).expanduser().absolute()
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device could block for ever
            raise ValueError(f"{path} is a folder, a pipe or a device, not a file of encoder weights")
        return {**keys, "sha256": _sha256(path, status.st_size, status.st_mtime_ns)}
    except OSError as error:
        raise ValueError(f"there is no file of encoder weights at {path} ({error.strerror})") from None
    except RuntimeError:
        raise ValueError(f"no user has the home folder {Path(keys['path']).parts[0]}") from None


@lru_cache
def _sha256(path: Path, size: int, changed: int) -> str:
    """Read once, though every trial of a sweep names it."""
    content = path.read_bytes()
    if not content.startswith(BEGINNINGS) and path.suffix != SAFETENSORS:
        raise ValueError(f"{path} is no file that torch or safetensors wrote")
    return hashlib.sha256(content).hexdigest()


WeightsFile = Annotated[_WeightsFile, BeforeValidator(_with_content)]
