"""The file of `ndabench pack`: a zip whose manifest holds the facts and the SHA-256 of every other member."""

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ndabench.errors import UserError, first_of
from ndabench.foreign_text import shown_text

MANIFEST = "manifest.json"
VERSION = 1
MOST_BYTES = 8 * 2**30
"""Of all members together: what a zip holds may be a thousand times its size."""
_MEMBER = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)*[A-Za-z0-9][A-Za-z0-9._-]*")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def write_pack(path: Path, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> None:
    """Writes the files and their manifest, whole or not at all; equal contents give equal bytes."""
    sums = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    manifest = json.dumps({"pack": VERSION, **facts, "files": sums}, indent=2, ensure_ascii=False)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in ((MANIFEST, manifest.encode()), *sorted(files.items())):
                archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), content, zipfile.ZIP_DEFLATED)
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        unfinished.unlink(missing_ok=True)


def unpack(path: Path, folder: Path) -> dict[str, Any]:
    """Writes the files of a pack into an empty `folder` and returns its facts.

    `UserError` for a file that is no pack or whose content is not what was packed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            facts = _manifest(archive, path)
            for name, digest in facts["files"].items():
                content = archive.read(name)
                if hashlib.sha256(content).hexdigest() != digest:
                    raise UserError(f"{path}: damaged ({name} is not as it was packed)")
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: no pack of `ndabench pack` ({shown_text(str(error))[:200]})") from error
    return facts


def _manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    """The facts; `UserError` where they do not list exactly the members, or name one outside the folder."""
    try:
        facts = json.loads(archive.read(MANIFEST))
        version, files = facts["pack"], dict(facts["files"])
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({MANIFEST} cannot be read)") from error
    if version != VERSION:
        raise UserError(
            f"{path}: written by another ndabench (pack version {version}, this one reads {VERSION})"
        )
    if surplus := {*archive.namelist()} ^ {*files, MANIFEST}:
        raise UserError(f"{path}: damaged ({first_of(sorted(map(shown_text, surplus)), 3)}: not in both)")
    if unsafe := [name for name in files if not _MEMBER.fullmatch(name)]:
        raise UserError(f"{path}: not opened; it names a file {shown_text(unsafe[0])!r}")
    if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
        raise UserError(f"{path}: not opened; it holds more than {MOST_BYTES / 2**30:g} GiB")
    return {**facts, "files": files}
