"""What `ray job submit --working-dir .` would upload of a folder, counted by Ray's own rules.

Ray's job server answers HTTP 413 to more than 100 MiB, which says neither what is large nor what to do.
"""

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ndabench.orchestration.ray_private import packaging, ray_constants

QUIET = logging.getLogger(f"{__name__}.rules")
QUIET.setLevel(logging.ERROR)  # Ray tells of each file of rules
Excludes = Callable[[Path], bool]
MOST_SECONDS = 3.0
UPLOAD_LIMIT: int = ray_constants.DASHBOARD_CLIENT_MAX_SIZE
"""The most bytes that the job server takes. Ray packs files without compressing them."""


@dataclass(frozen=True)
class Upload:
    """Bytes that would be uploaded."""

    parts: dict[str, int]
    """By what lies directly in the folder, the largest first; folders are written `data/`."""
    whole: bool
    """False where counting took too long: the numbers are then a lower bound."""

    @property
    def size(self) -> int:
        return sum(self.parts.values())


def upload_of(folder: Path, most_seconds: float = MOST_SECONDS) -> Upload:
    """The files of `folder` that neither `.gitignore`, `.rayignore` nor Ray's own list leaves out.

    Files and folders that cannot be read are passed over. Raises `ValueError` for rules that are no text or
    no patterns.
    """
    folder, deadline = folder.absolute(), time.monotonic() + most_seconds
    sizes: Counter[str] = Counter()
    by_default = packaging._get_excludes(folder, ray_constants.get_runtime_env_default_excludes())
    waiting: deque[tuple[Path, str, Sequence[Excludes]]] = deque([(folder, "", (by_default,))])
    while waiting and time.monotonic() < deadline:
        path, part, outer = waiting.popleft()
        excludes = (*outer, *_rules_in(path))
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    inner = Path(entry.path)
                    if any(excluded(inner) for excluded in excludes):
                        continue
                    if entry.is_dir():
                        waiting.append((inner, part or f"{entry.name}/", excludes))
                    elif entry.is_file():
                        sizes[part or entry.name] += entry.stat().st_size
                    if time.monotonic() > deadline:
                        return Upload(dict(sizes.most_common()), whole=False)
        except OSError:
            continue
    return Upload(dict(sizes.most_common()), whole=not waiting)


def _rules_in(path: Path) -> list[Excludes]:
    """Those of the `.gitignore` and `.rayignore` directly in `path`."""
    gitignore = os.environ.get(ray_constants.RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") != "1"
    try:
        rules: list[Excludes] = packaging.get_excludes_from_ignore_files(
            path, include_gitignore=gitignore, logger=QUIET
        )
    except OSError:
        return []
    return rules
