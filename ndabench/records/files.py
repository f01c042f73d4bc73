"""Whole files or none: atomic writes below one root, on a local disk or on any pyarrow filesystem.

On a local disk (and on other filesystems that can rename) a file is written under a temporary name that no
reader of Parquet picks up, then renamed; on an object store it is put in one piece, which is atomic there.
"""

import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.fs as fs

from ndabench.errors import UserError

_OBJECT_STORES = {"s3", "gcs", "abfs"}


class FileTree:
    """Files below `root`, a local path or a pyarrow filesystem URI (`s3://bucket/folder`). Picklable."""

    def __init__(self, root: str) -> None:
        if "://" in root:
            try:
                self.filesystem, self.base = fs.FileSystem.from_uri(root)
            except (pa.ArrowInvalid, OSError, ValueError) as error:
                raise UserError(f"{root}: cannot be opened ({' '.join(str(error).split())})") from None
            self.root = root.rstrip("/")
        else:
            self.root = self.base = str(Path(root).expanduser().absolute())
            self.filesystem = fs.LocalFileSystem()
        self.is_local = isinstance(self.filesystem, fs.LocalFileSystem)

    def full(self, path: str) -> str:
        """`path` inside this tree as the filesystem knows it; `UserError` if it would lead out of it."""
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
            raise UserError(f"{path!r}: must be a path inside {self.root}")
        return f"{self.base}/{PurePosixPath(path)}"

    def shown(self, path: str) -> str:
        """`path` as a user would type it: an absolute local path or a URI."""
        return f"{self.root}/{path}"

    def write(self, path: str, data: bytes) -> None:
        """Puts `data` at `path`, replacing what was there; readers see the old or the new, never a part."""
        target = self.full(path)
        try:
            if self.is_local:
                _write_local(Path(target), data)
            elif self.filesystem.type_name in _OBJECT_STORES:
                self._put(target, data)
            else:
                temporary = _temporary_name(target)
                self.filesystem.create_dir(str(PurePosixPath(target).parent), recursive=True)
                self._put(temporary, data)
                self.filesystem.move(temporary, target)
        except OSError as error:
            raise UserError(f"{self.shown(path)}: cannot be written ({_reason(error)})") from error

    def _put(self, target: str, data: bytes) -> None:
        with self.filesystem.open_output_stream(target) as stream:
            stream.write(data)

    def read(self, path: str) -> bytes | None:
        """The bytes at `path`, or None when there is no such file."""
        try:
            with self.filesystem.open_input_stream(self.full(path), compression=None) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{self.shown(path)}: cannot be read ({_reason(error)})") from error

    def walk(self, folder: str) -> list[str]:
        """Every file below `folder`, at any depth, as sorted paths inside this tree; no temporary files."""
        return sorted(entry.path.removeprefix(f"{self.base}/") for entry in self._entries(folder))

    def _entries(self, folder: str) -> Iterator[fs.FileInfo]:
        selector = fs.FileSelector(self.full(folder), allow_not_found=True, recursive=True)
        try:
            entries = self.filesystem.get_file_info(selector)
        except OSError as error:
            raise UserError(f"{self.shown(folder)}: cannot be read ({_reason(error)})") from error
        for entry in entries:
            if entry.type == fs.FileType.File and not entry.base_name.startswith((".", "_")):
                yield entry

    def stamps(self, folder: str) -> list[tuple[str, int, int]]:
        """Path, size and time of change (ns) of every file below `folder`, sorted; opens none of them."""
        return sorted((entry.path, entry.size, entry.mtime_ns) for entry in self._entries(folder))

    def delete(self, path: str) -> None:
        """Removes a file, or a folder with all that is in it; nothing happens when it is not there."""
        target = self.full(path)
        try:
            kind = self.filesystem.get_file_info(target).type
            if kind == fs.FileType.Directory:
                self.filesystem.delete_dir(target)
            elif kind == fs.FileType.File:
                self.filesystem.delete_file(target)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{self.shown(path)}: cannot be deleted ({_reason(error)})") from error


def _temporary_name(target: str) -> str:
    """A name beside `target` that dataset readers skip (leading dot) and globs for `*.parquet` miss."""
    path = PurePosixPath(target)
    return str(path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp"))


def _write_local(target: Path, data: bytes) -> None:
    temporary = Path(_temporary_name(str(target)))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a file stands where a folder should be"
    if error.errno and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return " ".join(str(error).split())
