"""`python -m ndabench.doctor`: what this machine offers a sweep, what would stop one, and the remedies."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from ndabench.command_line import run
from ndabench.errors import UserError
from ndabench.foreign_text import escaped

OUT = typer.Option(help="The folder in which results will be: its disk is tried.")
JSON = typer.Option("--json", help="Print one JSON object for each check.")
NO_RAY = typer.Option("--no-ray", help="Do not start Ray.")

Verdict = Literal["ok", "caution", "fault"]
STYLES = {"ok": "green", "caution": "yellow", "fault": "red"}
GIB = 2**30
LITTLE_DISK = 5 * GIB
LITTLE_SHM = 256 * 2**20
"""Ray keeps objects of up to 200 MiB there."""
FEW_FILES = 4096
SLOW_MIB_PER_SECOND = 20
TRIED_MIB = 32
OPTIONAL = {"mlflow": "mlflow", "wandb": "wandb", "timm": "timm", "tensorboard": "tensorboard"}
"""Packages that come with the extra of the other name."""
NEEDED = ("torch", "torchvision", "ray", "optuna", "pandas", "pyarrow", "av")


@dataclass(frozen=True)
class Check:
    """What was found; without a fault the remedy is empty."""

    what: str
    found: str
    verdict: Verdict = "ok"
    remedy: str = ""


def doctor(
    out: Annotated[Path, OUT] = Path("reports"),
    json_: Annotated[bool, JSON] = False,
    no_ray: Annotated[bool, NO_RAY] = False,
) -> None:
    """Look at versions, cores, memory, disks, cache, GPU and Ray, and say what would stop a sweep."""
    console, faults = Console(), 0
    for check in checks(out, with_ray=not no_ray):
        faults += check.verdict == "fault"
        if json_:
            print(json.dumps(asdict(check), ensure_ascii=False), flush=True)
        else:
            line = Text.assemble(
                (f"{check.verdict:<8}", STYLES[check.verdict]), f"{check.what}: {check.found}"
            )
            console.print(line, soft_wrap=True)
            if check.remedy:
                console.print(Text(f"        {check.remedy}"), soft_wrap=True)
    if faults:
        sys.exit(1)


def checks(out: Path, *, with_ray: bool) -> Iterator[Check]:
    """All checks, one at a time: some take seconds."""
    yield _python()
    yield _packages()
    yield _cores()
    yield _memory()
    yield _shared_memory(Path("/dev/shm"))
    yield _open_files()
    yield _sockets()
    yield from _upload(Path())
    yield _folder("results", out, "name another folder with --out")
    # late: --help must not wait for it
    from ndabench.data.build_cache import cache_folder

    yield _folder("cache", cache_folder(), "set NDABENCH_CACHE to another folder")
    yield from _named_in_the_environment()
    yield from _gpus()
    if with_ray:
        yield _ray()


def _python() -> Check:
    return Check("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Check:
    """The versions that records name; faults where one is missing."""
    found = {name: _version(name) for name in ("ndabench", *NEEDED)}
    extras = [name for name in OPTIONAL if _version(name)]
    text = ", ".join(f"{name} {version or 'missing'}" for name, version in found.items())
    text += f"; optional: {', '.join(extras) or 'none'}"
    missing = [name for name in NEEDED if not found[name]]
    if missing:
        return Check("packages", text, "fault", f"pip install {' '.join(missing)}")
    return Check("packages", text)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _cores() -> Check:
    from ndabench.machine import usable_cpus  # late: --help must not wait for it

    usable, there = usable_cpus(), os.cpu_count() or 1
    text = f"{usable} usable" + (
        f" of {there} (pinned or limited by a control group)" if usable < there else ""
    )
    return Check("cores", text)


def _memory() -> Check:
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if there < 4 * GIB:
        return Check("memory", _gib(there), "caution", "run one trial at a time: resources.max_concurrent: 1")
    return Check("memory", _gib(there))


def _shared_memory(folder: Path) -> Check:
    if not folder.is_dir():
        return Check("shared memory", f"no {folder}; Ray uses the disk in its place")
    free = shutil.disk_usage(folder).free
    if free < LITTLE_SHM:
        remedy = "in Docker: --shm-size=1g; in Kubernetes: an emptyDir of medium Memory at /dev/shm"
        return Check("shared memory", f"{_gib(free)} free in {folder}", "caution", remedy)
    return Check("shared memory", f"{_gib(free)} free in {folder}")


def _open_files() -> Check:
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = "no limit" if limit == resource.RLIM_INFINITY else f"{limit:,}"
    if limit != resource.RLIM_INFINITY and limit < FEW_FILES:
        allowed = 65536 if most == resource.RLIM_INFINITY else min(most, 65536)
        return Check("open files", text, "caution", f"ulimit -n {allowed} before a sweep of many trials")
    return Check("open files", text)


def _sockets() -> Check:
    try:
        from ndabench.orchestration.cluster import parent_of_sockets  # late: it imports Ray

        parent = parent_of_sockets()
    except ImportError as error:
        return Check(
            "Ray's sockets", f"Ray cannot be imported ({error})", "fault", "pip install 'ray[tune,train]'"
        )
    except UserError as error:
        return Check("Ray's sockets", str(error), "fault", "set RAY_TMPDIR to a short path, such as /tmp")
    return Check("Ray's sockets", f"below {parent}")


def _upload(folder: Path) -> Iterator[Check]:
    """Whether `ray job submit --working-dir .` would be refused; nothing where Ray cannot be imported."""
    from ndabench.reporting.formatting import mebibytes  # late: --help must not wait for it

    try:
        from ndabench.orchestration.working_folder import UPLOAD_LIMIT, upload_of  # late: it imports Ray
    except ImportError:  # the check of Ray's sockets says so
        return
    what = "working folder"
    try:
        upload = upload_of(folder)
    except (OSError, ValueError) as error:
        remedy = "correct the .gitignore or .rayignore: Ray fails at it, too"
        yield Check(what, f"its size is unknown ({str(error)[:200]})", "caution", remedy)
        return
    largest = [(escaped(name), size) for name, size in upload.parts.items()][:3]
    listed = ", ".join(f"{name} {mebibytes(size)}" for name, size in largest) or "nothing"
    size = ("" if upload.whole else "at least ") + mebibytes(upload.size)
    text = f"`ray job submit --working-dir .` would upload {size}; the largest parts: {listed}"
    if upload.whole and upload.size < UPLOAD_LIMIT:
        yield Check(what, text)
        return
    names = " ".join(f"/{name}" for name, size_of_it in largest if size_of_it > upload.size / 20)
    remedy = (
        f"on a cluster, Ray refuses more than {mebibytes(UPLOAD_LIMIT)} (HTTP 413): write into .rayignore, a "
        f"line each, what the sweep does not need, for example {names or '/data/'}"
    )
    yield Check(what, text, "caution", remedy)


def _folder(what: str, folder: Path, remedy: str) -> Check:
    """Whether files can be written, how fast, and how much room there is."""
    nearest = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    try:
        speed = _mib_per_second(nearest)
    except OSError as error:
        return Check(what, f"nothing can be written into {nearest} ({error.strerror})", "fault", remedy)
    free = shutil.disk_usage(nearest).free
    text = f"{folder}: {_gib(free)} free, writes {speed:,.0f} MiB/s"
    if free < LITTLE_DISK:
        return Check(what, text, "caution", f"make room, or {remedy}")
    if speed < SLOW_MIB_PER_SECOND:
        return Check(what, text, "caution", f"checkpoints will take long; {remedy}")
    return Check(what, text)


def _mib_per_second(folder: Path) -> float:
    """Of a file that is written to the disk itself."""
    block = os.urandom(2**20)
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        for _ in range(TRIED_MIB):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return TRIED_MIB / max(time.perf_counter() - began, 1e-6)


def _named_in_the_environment() -> Iterator[Check]:
    """The files and folders that NDABENCH_… variables name."""
    for key in ("NDABENCH_DATA", "NDABENCH_INCEPTION_WEIGHTS"):
        if path := os.environ.get(key):
            there = Path(path).expanduser().exists()
            remedy = "" if there else f"unset it, or put the files at {path}"
            yield Check(key, path if there else f"{path} does not exist", "ok" if there else "fault", remedy)


def _gpus() -> Iterator[Check]:
    try:
        import torch  # late: it takes seconds
    except (ImportError, OSError) as error:
        yield Check("torch", f"cannot be imported ({str(error)[:200]})", "fault", "install it again")
        return
    if not torch.cuda.is_available():
        driver = shutil.which("nvidia-smi") is not None
        if driver and torch.version.cuda is None:
            yield Check(
                "GPU", "not usable by this build of torch", "fault", "install a build of torch for CUDA"
            )
        elif driver:
            yield Check(
                "GPU",
                f"none that CUDA {torch.version.cuda} can use",
                "fault",
                "compare with nvidia-smi's version",
            )
        else:
            yield Check("GPU", "none; trials run on CPUs (gpus_per_worker: 0)")
        return
    for number in range(torch.cuda.device_count()):
        free, there = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        text = f"{name}, {_gib(free)} of {_gib(there)} free, CUDA {torch.version.cuda}"
        busy = free < there / 2
        yield Check(
            f"GPU {number}",
            text,
            "caution" if busy else "ok",
            "other processes use it: nvidia-smi names them" if busy else "",
        )


def _ray() -> Check:
    """Starts Ray as a sweep does, and waits for a worker."""
    return _tried("Ray", _started)


def _started() -> str:
    # late: importing Ray takes seconds
    from ndabench.orchestration.cluster import connect
    from ndabench.orchestration.first_worker import FirstWorker

    began = time.monotonic()
    with connect("local"):
        FirstWorker().require()
        return f"starts, and a worker answers, in {time.monotonic() - began:.0f} s"


def _tried(what: str, attempt: Callable[[], str]) -> Check:
    try:
        return Check(what, attempt())
    except UserError as error:
        remedy = "see the log; memory limits, LD_PRELOAD and a full /dev/shm are usual causes"
        return Check(what, str(error), "fault", remedy)


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f} GiB"


if __name__ == "__main__":
    run(doctor)
