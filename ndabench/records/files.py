"""Whole files or none: atomic writes below one root, on a local disk or on any pyarrow filesystem.

On a local disk (and on other filesystems that can rename) a file gets a temporary name that no reader of
Parquet picks up, and is then renamed; on an object store one request writes it, which is atomic there. A
failure of the storage that may pass is retried (`retry.py`).
"""

import contextlib
import copy
import errno
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as fs

from ndabench.errors import UserError
from ndabench.foreign_text import has_secret, shortened, shown_text
from ndabench.records.retry import Retry, reason

A = TypeVar("A")
T = TypeVar("T")

AT_A_TIME = 16
"""Concurrent requests to an object store."""

SECONDS_UNFINISHED = 3600
"""A process that writes a file changes it at least this often."""
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
MOST_REASON = 200
"""Characters that an error repeats of what a storage library says."""
_KEY_BEFORE_AT = {"s3", "gs", "gcs"}
"""Schemes whose user part is a key, not a name."""
_WITH_A_BUCKET = {*_KEY_BEFORE_AT, "abfs", "abfss"}
_SCHEMES = {*_WITH_A_BUCKET, "hdfs", "viewfs", "file"}
_OBJECT_STORES = {"s3", "gcs", "abfs"}


class FileTree:
    """Files below `root`, a local path or a pyarrow filesystem URI (`s3://bucket/folder`). Picklable."""

    def __init__(self, root: str) -> None:
        if "://" in root:
            _check_uri(root)
            if urlsplit(root).scheme in ("abfs", "abfss"):
                _check_azure_login(root)
            try:
                self.filesystem, self.base = fs.FileSystem.from_uri(_with_options(root))
            except (pa.ArrowException, OSError, ValueError) as error:
                reason_ = " ".join(str(error).split())
                raise UserError(f"{root}: cannot be opened ({shortened(reason_, MOST_REASON)})") from None
            self.root = root.rstrip("/")
        else:
            _check_slashes(root)
            try:
                self.root = self.base = str(Path(root).expanduser().absolute())
            except RuntimeError:
                raise UserError(f"{root}: no user has the home folder {Path(root).parts[0]}") from None
            self.filesystem = fs.LocalFileSystem()
        self.is_local = isinstance(self.filesystem, fs.LocalFileSystem)
        if self.is_local:
            self.root = self.base
        self._retry = Retry()
        self._stood = self._was_mount = False

    def without_retry(self) -> "FileTree":
        """The same files without retries: every failure is an error at once."""
        other = copy.copy(self)
        other._retry = Retry(seconds=0)
        return other

    def full(self, path: str) -> str:
        """`path` inside this tree as the filesystem knows it; `UserError` if it leads out of the tree."""
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
            raise UserError(f"{path!r}: must be a path inside {self.root}")
        return f"{self.base}/{PurePosixPath(path)}"

    def shown(self, path: str) -> str:
        """`path` as a user would type it: an absolute local path or a URI."""
        root = self.root if self.is_local else self.root.partition("?")[0].rstrip("/")
        return f"{root}/{path}"

    def perform(self, action: Callable[[], T], path: str, done: str) -> T:
        """What `action` returns; retried if storage fails in a way that may pass.

        Raises `UserError` (`PATH: cannot be DONE (why)`) if it still fails, or fails in another way.
        """

        def attempt() -> T:
            self._require_root()
            result = action()
            self._note_root()
            return result

        failure = f"{self.shown(path)}: cannot be {done}"
        try:
            return self._retry(attempt, failure)
        except OSError as error:
            raise UserError(f"{failure} ({reason(error)})") from error

    def _require_root(self) -> None:
        """`OSError` if a local root existed and is gone, for example because its disk was unmounted.

        A new folder in its place would put the records on another disk.
        """
        root = Path(self.base)
        if self._stood and not (root.is_mount() if self._was_mount else root.is_dir()):
            raise OSError(errno.ENODEV, "the folder is gone")

    def _note_root(self) -> None:
        if self.is_local and not self._stood:
            root = Path(self.base)
            self._stood, self._was_mount = root.is_dir(), root.is_mount()

    def write(self, path: str, data: bytes) -> None:
        """Writes `data` to `path`; readers see the old content or the new, never a part."""
        target = self.full(path)

        def put() -> None:
            if self.is_local:
                _write_local(Path(target), data)
            elif self.filesystem.type_name in _OBJECT_STORES:
                self._put(target, data)
            else:
                temporary = _temporary_name(target)
                self.filesystem.create_dir(str(PurePosixPath(target).parent), recursive=True)
                self._put(temporary, data)
                self.filesystem.move(temporary, target)

        self.perform(put, path, "written")

    def _put(self, target: str, data: bytes) -> None:
        with self.filesystem.open_output_stream(target) as stream:
            stream.write(data)

    def read(self, path: str) -> bytes | None:
        """The bytes at `path`, or None if there is no such file."""
        source = self.full(path)

        def get() -> bytes | None:
            try:
                with self.filesystem.open_input_stream(source, compression=None) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None
            except OSError:
                if not self.is_local and self.filesystem.get_file_info(source).type == fs.FileType.NotFound:
                    return None  # deleted after it was opened: object stores have no file handles
                raise

        return self.perform(get, path, "read")

    def walk(self, folder: str, deep: bool = True) -> list[str]:
        """Every file below `folder`, or only those directly in it, as sorted paths inside this tree.

        Hidden files and folders are left out: temporary files, and what other programs keep for themselves.
        """
        return sorted(entry.path.removeprefix(f"{self.base}/") for entry in self._entries(folder, deep))

    def _entries(self, folder: str, deep: bool = True) -> Iterator[fs.FileInfo]:
        selector = fs.FileSelector(self.full(folder), allow_not_found=True, recursive=deep)
        for entry in self.perform(lambda: self.filesystem.get_file_info(selector), folder, "read"):
            parts = PurePosixPath(entry.path.removeprefix(f"{self.base}/")).parts
            if entry.type == fs.FileType.File and not any(part.startswith((".", "_")) for part in parts):
                yield entry

    def stamps(self, folder: str) -> list[tuple[str, int, int]]:
        """Path, size and modification time (ns) of every file below `folder`, sorted; opens no file."""
        return sorted((entry.path, entry.size, entry.mtime_ns) for entry in self._entries(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        """The bytes of every file below `folder`, by its path inside this tree; opens no file."""
        return {entry.path.removeprefix(f"{self.base}/"): entry.size for entry in self._entries(folder)}

    def delete(self, path: str) -> None:
        """Removes a file, or a folder with everything in it; does nothing if it does not exist."""
        target = self.full(path)

        def remove() -> None:
            try:
                kind = self.filesystem.get_file_info(target).type
                if kind == fs.FileType.Directory:
                    self.filesystem.delete_dir(target)
                elif kind == fs.FileType.File:
                    self.filesystem.delete_file(target)
            except FileNotFoundError:
                return

        self.perform(remove, path, "deleted")

    def delete_all(self, paths: Sequence[str]) -> None:
        """Removes files, and on a local disk the folders that become empty."""
        self.each(self.delete, paths)
        if self.is_local:
            for folder in {Path(self.full(path)).parent for path in paths}:
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def delete_unfinished(self) -> None:
        """Removes the temporary files of writers that were killed: those that have not grown for an hour."""
        if self.filesystem.type_name in _OBJECT_STORES:
            return
        selector = fs.FileSelector(self.base, allow_not_found=True, recursive=True)
        before = time.time_ns() - SECONDS_UNFINISHED * 10**9
        for entry in self.perform(lambda: self.filesystem.get_file_info(selector), ".", "read"):
            if _TEMPORARY.fullmatch(entry.base_name) and entry.mtime_ns < before:
                self.delete(entry.path.removeprefix(f"{self.base}/"))

    def each(self, action: Callable[[A], T], items: Sequence[A]) -> list[T]:
        """What `action` returns for every item, in order; concurrent if each waits for a network."""
        if self.is_local or len(items) < 2:
            return [action(item) for item in items]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            return list(pool.map(action, items))


def _check_slashes(path: str) -> None:
    """`UserError` for `s3:/bucket/folder`: a folder named `s3:` on the local disk is not meant."""
    scheme, colon, rest = path.partition(":")
    if colon and scheme.lower() in _SCHEMES:
        meant = f"{scheme.lower()}://{rest.lstrip('/')}"
        raise UserError(f"{scheme}: has two slashes after it in a URI; did you mean {shown_text(meant)}?")


def _check_uri(uri: str) -> None:
    """`UserError` for a URI with a secret in it, or without a bucket, or which would end the process."""
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise UserError(f"{shown_text(uri)}: is no URI ({error})") from None
    user = parts.netloc.rpartition("@")[0]
    if ":" in user or (user and parts.scheme in _KEY_BEFORE_AT) or has_secret(f"?{parts.query}"):
        raise UserError(
            f"{shown_text(uri)}: a URI with a secret in it would appear in logs and records: give it as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or as the storage asks for it"
        )
    if parts.scheme in _WITH_A_BUCKET and not parts.netloc:
        raise UserError(f"{shown_text(uri)}: names no bucket or host; it must look like s3://bucket/folder")


@lru_cache
def _check_azure_login(uri: str) -> None:
    """`UserError` where a child process cannot look at `uri`: without a login Azure's library may abort."""
    look = "import sys, pyarrow.fs as fs; f, p = fs.FileSystem.from_uri(sys.argv[1]); f.get_file_info(p)"
    try:
        done = subprocess.run([sys.executable, "-c", look, uri], capture_output=True, text=True, timeout=60)
        said = [line for line in done.stderr.splitlines() if line.startswith("pyarrow.")]
        problem = (said or ["the process ended"])[-1] if done.returncode else ""
    except subprocess.TimeoutExpired:
        problem = "no answer within 60 s"
    if problem:
        raise UserError(f"{uri}: cannot be opened ({shortened(problem, MOST_REASON)})")


def _with_options(uri: str) -> str:
    """`uri` with the option that writes small files to S3 in one request instead of three."""
    if urlsplit(uri).scheme != "s3" or "allow_delayed_open" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}allow_delayed_open=true"


def _temporary_name(target: str) -> str:
    """A name (`_TEMPORARY`) next to `target`: dataset readers skip it, and globs for `*.parquet` miss it."""
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
