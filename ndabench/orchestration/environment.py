"""What this process hands on to those that it starts: absolute paths, and folders to import plugins from.

Without Ray, whose import takes seconds: a sweep begins to prepare meanwhile.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ndabench.plugins import local_plugins


def ray_starts_here(address: str | None) -> bool:
    """Whether `connect(address)` would start a Ray on this machine, rather than join one."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return False
    return (address or os.environ.get("RAY_ADDRESS") or "local") == "local"


def absolute_settings() -> dict[str, str]:
    """ndabench's own environment variables. All are paths, which become absolute: Ray's workers run in other
    working folders."""
    settings = {key: value for key, value in os.environ.items() if key.startswith("NDABENCH_") and value}
    for key, value in settings.items():
        settings[key] = os.environ[key] = str(Path(value).expanduser().absolute())
    return settings


def put_on_path(plugins: Sequence[str]) -> None:
    """Lets the processes that this one starts import the modules in `plugins` that are not installed."""
    before = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if places := local_plugins(plugins):
        folders = dict.fromkeys([*before, *(str(place.parent) for place in places)])
        os.environ["PYTHONPATH"] = os.pathsep.join(folders)
