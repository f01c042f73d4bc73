"""Fixed-seed runs of every task, as curves and hashes of the final weights, to hold a change against.

    python tests/replay/replay.py record OUT.json               # runs every case below (about five minutes)
    python tests/replay/replay.py compare BEFORE.json AFTER.json

    python tests/replay/replay.py compact RECORD.json recorded.json

A change that only moves code must leave every value and every tensor as it was, bit for bit. The values
depend on the CPU and on the version of torch, so `recorded.json` is a reference for one machine: elsewhere,
record the commit before the change first (PYTHONPATH says whose `ndabench` runs) and compare with that.

Every case runs `python -m ndabench.train`, alone or under torchrun. A case that ends in `_resumed` is killed
with SIGKILL once its checkpoint at half the steps exists, and then resumed.
"""

import argparse
import contextlib
import hashlib
import json
import os
import platform
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DIGITS = 10
"""Hexadecimal digits of a hash that are compared."""

GAN: dict[str, Any] = {
    "task": {
        "name": "gan",
        "width": 4,
        "latent_dim": 16,
        "batch_size": 16,
        "num_steps": 12,
        "num_discriminator_steps": 2,
        "ema": {"decay": 0.999, "start": 4},
        "log_every": 3,
        "checkpoint_every": 6,
    },
    "data": {"name": "digits", "image_size": 16, "horizontal_flip": True},
    "evaluate": [
        {"name": "fd", "num_samples": 64, "every": 6, "live": False},
        {"name": "kid", "num_samples": 64, "subset_size": 32},
        {"name": "inception_score", "num_samples": 64},
    ],
}
IMAGES: dict[str, Any] = {
    "task": {
        "name": "image_contrastive",
        "method": {
            "name": "moco",
            "queue_size": 64,
            "key_momentum": 0.9,
            "symmetric": True,
            "batch_norm_splits": 2,
        },
        "encoder": {"name": "resnet", "depth": 18, "width": 4},
        "embedding_dim": 8,
        "batch_size": 16,
        "num_steps": 12,
        "num_warm_up_steps": 3,
        "log_every": 3,
        "checkpoint_every": 6,
    },
    "data": {"name": "digits", "image_size": 16},
    "evaluate": [
        {"name": "knn", "neighbours": 5, "every": 6},
        "linear_probe_lbfgs",
        {"name": "linear_probe_sgd", "num_epochs": 2},
    ],
}
VIDEOS: dict[str, Any] = {
    "task": {
        "name": "video_contrastive",
        "method": {"name": "dpc", "num_blocks": 4, "num_predicted": 1},
        "encoder": {"name": "resnet2d3d", "width": 4, "stem": "cifar"},
        "clip_frames": 20,
        "frame_stride": 1,
        "batch_size": 8,
        "num_steps": 6,
        "log_every": 3,
        "checkpoint_every": 3,
    },
    "data": {"name": "moving_digits", "frame_size": 16, "video_frames": 24, "clips_per_group": 1},
    "evaluate": ["linear_probe", "retrieval", {"name": "dpc_finetune", "num_epochs": 1, "batch_size": 8}],
}
SIMCLR = {"method": {"name": "simclr"}}
CLIP_MOCO = {
    "method": {"name": "moco", "queue_size": 16, "key_momentum": 0.9, "batch_norm_splits": 2},
    "embedding_dim": 8,
}


def case(
    base: dict[str, Any],
    arm: Any,
    *,
    lambda_: float | None = None,
    task: dict[str, Any] | None = None,
    evaluate: list[Any] | None = None,
    workers: int = 1,
    resumed: bool = False,
) -> dict[str, Any]:
    """One run: a sweep file with a single arm, the number of workers, and whether it is killed half-way."""
    sweep = {
        **base,
        "name": "replay",
        "task": {**base["task"], **(task or {})},
        "arms": [arm],
        "seeds": [3],
        "evaluate": base["evaluate"] if evaluate is None else evaluate,
        **({"search": {"lambda": [lambda_]}} if lambda_ is not None else {}),
    }
    return {"sweep": sweep, "workers": workers, "resumed": resumed}


CASES: dict[str, dict[str, Any]] = {
    "gan_none": case(GAN, "none"),
    "gan_jigsaw": case(GAN, "jigsaw", lambda_=0.25),
    "gan_jigsaw_resumed": case(GAN, "jigsaw", lambda_=0.25, resumed=True),
    "gan_conditional_positive": case(
        GAN,
        {"name": "both", "negative": "stitch", "positive": {"mixture": {"cutout": 0.5, "rotate": 0.5}}},
        lambda_=0.5,
        task={"conditional": True, "losses": "non_saturating"},
    ),
    "gan_reference": case(GAN, "jigsaw", lambda_=0.25, task={"reference": True}),
    "gan_two_workers": case(GAN, "mixup", lambda_=0.5, workers=2),
    "gan_two_workers_resumed": case(GAN, "mixup", lambda_=0.5, workers=2, resumed=True),
    "moco": case(IMAGES, "jigsaw", lambda_=1.0),
    "moco_resumed": case(IMAGES, "jigsaw", lambda_=1.0, resumed=True),
    "moco_two_workers": case(IMAGES, "cutmix", lambda_=2.0, task={"num_nda_keys": 2}, workers=2),
    "simclr": case(IMAGES, "stitch", lambda_=1.0, task=SIMCLR),
    "simclr_raw_positive": case(
        IMAGES,
        {"name": "both", "negative": "cutout", "positive": "gaussian_noise"},
        lambda_=1.0,
        task={**SIMCLR, "nda_source": "raw"},
    ),
    "image_none": case(IMAGES, "none"),
    "untrained": case(IMAGES, {"name": "untrained", "task": {"num_steps": 0}}, task={"num_warm_up_steps": 0}),
    "dpc": case(VIDEOS, "shuffle_frames", lambda_=1.0),
    "dpc_resumed": case(VIDEOS, "shuffle_frames", lambda_=1.0, resumed=True),
    "dpc_two_workers": case(VIDEOS, {"negative": {"name": "jigsaw", "per": "frame"}}, lambda_=1.0, workers=2),
    "clip_moco": case(
        VIDEOS, "shuffle_blocks", lambda_=1.0, task=CLIP_MOCO, evaluate=["linear_probe", "retrieval"]
    ),
    "clip_simclr": case(VIDEOS, "none", task=SIMCLR, evaluate=["retrieval"]),
}


def run(name: str, folder: Path) -> dict[str, Any]:
    """Runs a case and returns its values (as exact hexadecimal numbers) and the hashes of its tensors."""
    one, out = CASES[name], folder / name
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps(one["sweep"]))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(one["workers"])]
    command = [
        sys.executable,
        *(launcher if one["workers"] > 1 else []),
        "-m",
        "ndabench.train",
        str(file),
        "--out",
        str(out),
    ]
    if one["resumed"]:
        _killed_half_way(command, out, one["sweep"]["task"]["num_steps"] // 2)
        command.append("--resume")
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return {"values": _values(out), "tensors": _tensors(out)}


def _killed_half_way(command: list[str], out: Path, step: int) -> None:
    with subprocess.Popen(
        command,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        while process.poll() is None and not list(out.glob(f"checkpoints/*/{step:09d}.pt")):
            time.sleep(0.005)
        for pid in _processes_of(out):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _processes_of(out: Path) -> list[int]:
    """The launcher and the workers that it started, by the folder on their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(out).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}


def _values(out: Path) -> dict[str, str]:
    """Each value under `<step> <name>`, as the 16 hexadecimal digits of its float64."""
    import pandas as pd

    rows = pd.read_parquet(out / "metrics")
    names = rows["metric"].astype(str)
    if "split" in rows:  # records of schema 2 keep split and label in columns of their own
        validation = rows["split"].astype(str) == "validation"
        names = names.where(~validation, "val_" + names)
        label = rows["label"].fillna("").astype(str)
        names = names.where(label == "", names + "_" + label)
    pairs = zip(rows["step"], names, rows["value"], strict=True)
    return {f"{step} {name}": struct.pack(">d", value).hex() for step, name, value in pairs}


def _tensors(out: Path) -> dict[str, str]:
    """The hash of every tensor in the last checkpoint, and of every exported weight, by where it lies."""
    import torch

    files = sorted(out.glob("checkpoints/*/*.pt"))[-1:] + sorted(out.glob("files/*/*.pt"))
    found: dict[str, str] = {}
    for file in files:
        content = torch.load(file, map_location="cpu", weights_only=True)
        for key, tensor in _walk(content, file.stem if "files" in file.parts else "checkpoint"):
            text = f"{tensor.dtype}{tuple(tensor.shape)}".encode()
            found[key] = hashlib.sha256(text + tensor.numpy().tobytes()).hexdigest()[:16]
    return found


def _walk(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(item, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk(item, f"{key}.{index}")


def record(out: Path, only: list[str]) -> None:
    import torch

    result: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu": _cpu(),
        "cases": {},
    }
    with tempfile.TemporaryDirectory(prefix="ndabench-replay-") as folder:
        for name in only or CASES:
            start = time.monotonic()
            result["cases"][name] = run(name, Path(folder))
            print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
            out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def compare(before: Path, after: Path) -> int:
    """Prints every difference; the number of cases that differ.

    A tensor may move inside a checkpoint: what counts is that its hash is found somewhere in the same case.
    """
    old, new = (json.loads(path.read_text()) for path in (before, after))
    for key in ("python", "torch", "cpu"):
        if old[key] != new[key]:
            print(f"recorded under another {key}: {old[key]!r} and {new[key]!r}")
    different = 0
    for name, case_before in old["cases"].items():
        case_after = new["cases"].get(name)
        if case_after is None:
            print(f"{name}: not run")
            different += 1
            continue
        values, now = case_before["values"], case_after["values"]
        lines = [f"{key} differs" for key in values if now.get(key, values[key]) != values[key]]
        lines += [f"{key} is gone" for key in values if key not in now]
        lines += [f"{key} is new" for key in now if key not in values]
        before_hashes, hashes = (_named_hashes(case["tensors"]) for case in (case_before, case_after))
        lines += [f"{name} differs" for digest, name in before_hashes.items() if digest not in hashes]
        print(f"{name}: {'; '.join(lines[:8]) or 'equal'}{' …' if len(lines) > 8 else ''}")
        different += bool(lines)
    return different


def _named_hashes(tensors: dict[str, str] | list[str]) -> dict[str, str]:
    """Where a tensor lies by the first digits of its hash; compact records know the hashes alone."""
    if isinstance(tensors, list):
        return {digest: f"tensor {digest}" for digest in tensors}
    return {digest[:DIGITS]: name for name, digest in tensors.items()}


def compact(record: Path, out: Path) -> None:
    """Writes a record without the names of the tensors, small enough to be kept."""
    content = json.loads(record.read_text())
    for one in content["cases"].values():
        one["tensors"] = sorted(_named_hashes(one["tensors"]))
    out.write_text(json.dumps(content, indent=0, sort_keys=True, separators=(",", ":")) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("out", type=Path)
    recording.add_argument("only", nargs="*", help="cases to run; default: all")
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    compacting = commands.add_parser("compact")
    compacting.add_argument("record", type=Path)
    compacting.add_argument("out", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "record":
        record(arguments.out, arguments.only)
    elif arguments.command == "compact":
        compact(arguments.record, arguments.out)
    else:
        sys.exit(compare(arguments.before, arguments.after) > 0)


if __name__ == "__main__":
    main()
