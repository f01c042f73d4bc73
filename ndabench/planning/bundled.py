"""The sweep files that come with ndabench, so that an installed one runs from any folder."""

from pathlib import Path, PurePath

FOLDER = Path(__file__).parents[1] / "sweeps"


def find_sweep_file(path: Path) -> Path:
    """`path`, or where there is no such file, ndabench's own of that name.

    >>> find_sweep_file(Path("sweeps/quickstart.yaml")).name
    'quickstart.yaml'
    >>> find_sweep_file(Path("paper/dpc")).name
    'dpc.yaml'
    """
    if path.exists():
        return path
    name = PurePath(*path.parts[1:]) if path.parts[:1] == ("sweeps",) else path
    if not name.name or name.is_absolute() or ".." in name.parts or name.suffix not in ("", ".yaml"):
        return path
    own = FOLDER / f"{name.with_suffix('')}.yaml"
    return own if own.is_file() else path


def bundled_names() -> list[str]:
    """What `find_sweep_file` finds: `quickstart`, …, `paper/dpc`, …"""
    return sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.yaml"))
