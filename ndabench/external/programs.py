"""A generator or discriminator of others: a program of `torch.export` or TorchScript, or a function.

A generator takes noise `[N, latent_dim]` from N(0, I) and, where it has classes, int64 `[N]`; it gives images
`[N, C, H, W]`, uint8 or float. A discriminator takes float images in [-1, 1] and, where it has classes, int64
`[N]`; it gives logits `[N]`, higher for real. Programs that ndabench exported also say how they were
measured, so that measuring them again gives the recorded values.
"""

import hashlib
import importlib
import json
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.foreign_text import shown_text
from ndabench.metrics.generators.subject import BatchNormMode, GeneratorSubject, Weights
from ndabench.models.weight_files import file_sha256
from ndabench.tasks.exports import FACTS, PROGRAM
from ndabench.tasks.gan.sampling import LatentSpace, Sampler

FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
BATCH_SIZE = 64
"""Images drawn at a time, where a program does not say it."""
STREAM = "external"


@dataclass(frozen=True)
class Program:
    """What can be called, and where it comes from."""

    call: Callable[..., Any]
    title: str
    sha256: str
    """Of the file, or of the module's source."""
    facts: Mapping[str, Any]
    """What a program of ndabench says of itself; else empty."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        """`UserError` for inputs that it does not take, and for an output that is no tensor."""
        try:
            output = self.call(*inputs)
        except Exception as error:  # code of others raises anything
            shapes = ", ".join(str(list(one.shape)) for one in inputs)
            raise UserError(f"{self.title}: cannot be called with {shapes} ({_reason(error)})") from None
        if not isinstance(output, Tensor):
            raise UserError(f"{self.title}: gives a {type(output).__name__}, not a tensor")
        return output

    def chosen(self, option: str, given: int | None, default: int | None = None) -> int:
        """What the option `--<option>` gives, or the program says; `UserError` where it is unknown."""
        found = next(
            (x for x in (given, self.facts.get(option.replace("-", "_")), default) if x is not None), None
        )
        if found is None:
            raise UserError(f"--{option}: is needed, since {self.title} does not say it")
        return int(found)


def open_program(source: str, device: torch.device) -> Program:
    """A file of torch.export (`.pt2`) or TorchScript, or `module:function`; `UserError` where it is neither.

    Opening a module runs its code.
    """
    path = Path(source).expanduser()
    if path.is_file():
        try:
            call, facts = _exported(path, device) if path.suffix == PROGRAM else (_script(path, device), {})
        except Exception as error:  # a damaged or foreign file makes torch raise a dozen kinds
            kind = "torch.export" if path.suffix == PROGRAM else "TorchScript"
            raise UserError(f"{path}: is no program of {kind} ({_reason(error)})") from None
        return Program(call, path.name, file_sha256(path), facts)
    if not FUNCTION.fullmatch(source):
        raise UserError(f"{source}: is neither a file nor a function such as my_package.networks:generate")
    return Program(*_function(source), {})


def _exported(path: Path, device: torch.device) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    extra: dict[str, Any] = {FACTS: ""}
    program = torch.export.load(path, extra_files=extra)
    if device.type != "cpu":
        # late: only on a GPU
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return program.module(), json.loads(extra[FACTS] or "{}")


def _script(path: Path, device: torch.device) -> Callable[..., Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript's end
        script: nn.Module = torch.jit.load(path, map_location=device).eval()
    return script


def _function(source: str) -> tuple[Callable[..., Any], str, str]:
    module_name, _, name = source.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` has it: the user's own folder
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # importing another package may raise anything
        raise UserError(f"{source}: {module_name} cannot be imported ({_reason(error)})") from None
    found = getattr(module, name, None)
    if not callable(found):
        raise UserError(f"{source}: {module_name} has no function {name}")
    code = Path(module.__file__).read_bytes() if module.__file__ else b""
    return found, source, hashlib.sha256(code + name.encode()).hexdigest()


def _reason(error: Exception) -> str:
    return shown_text(" ".join(str(error).split()))[:150]


class ForeignGenerator(nn.Module):
    """A program as a generator for `Sampler`: noise and labels to images in [-1, 1] of the data's shape."""

    def __init__(self, program: Program, data: ImageData, *, takes_classes: bool, unit: bool) -> None:
        super().__init__()
        self.program, self.data, self.takes_classes, self.unit = program, data, takes_classes, unit

    def forward(self, noise: Tensor, labels: Tensor, batch_statistics: bool | None = None) -> Tensor:
        """`batch_statistics` is part of the program."""
        images = self.program(noise, labels) if self.takes_classes else self.program(noise)
        wanted = [len(noise), *self.data.image_shape]
        if list(images.shape) != wanted:
            raise UserError(
                f"{self.program.title}: gives images {list(images.shape)}, and {self.data.name} has {wanted}"
                "; --image-size brings the data to another size"
            )
        if images.dtype == torch.uint8:
            return images / 127.5 - 1
        if not images.isfinite().all():
            raise UserError(f"{self.program.title}: gives values that are not finite")
        return images * 2 - 1 if self.unit else images


class ForeignDiscriminator(nn.Module):
    """A program as a discriminator: float images in [-1, 1] and labels to logits `[N]`."""

    def __init__(self, program: Program, *, takes_classes: bool) -> None:
        super().__init__()
        self.program, self.takes_classes = program, takes_classes

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self.program(images, labels) if self.takes_classes else self.program(images)
        if logits.numel() != len(images):
            raise UserError(
                f"{self.program.title}: gives {list(logits.shape)}, not one logit for each of "
                f"{len(images)} images"
            )
        return logits.flatten()


@dataclass(frozen=True)
class _OfOthers:
    """A sampler of which nobody knows whether its weights are an average."""

    sampler: Sampler

    def sample(self, num_images: int, *, stream: str, weights: Weights, batch_norm: BatchNormMode) -> Tensor:
        return self.sampler.sample(num_images, stream=stream)

    def labels(self, num_images: int, *, stream: str) -> Tensor:
        return self.sampler.labels(num_images, stream=stream)

    def protocol(self, *, weights: Weights, batch_norm: BatchNormMode) -> Mapping[str, Any]:
        return {"weights": "external", "batch_norm": "external"}


def generator_subject(
    program: Program,
    data: ImageData,
    workers: Workers,
    *,
    latent_dim: int | None,
    classes: int | None,
    unit: bool,
    seed: int | None,
) -> GeneratorSubject:
    """The generator, to be compared with `data`; what is None is as the program says it. Its float images are
    in [0, 1] where `unit` says so, else in [-1, 1]."""
    facts = program.facts
    num_classes = program.chosen("num-classes", classes, 1)
    takes_classes = classes is not None or "num_classes" in facts
    batch_norm: BatchNormMode = facts.get("batch_norm", "running")
    sampler = Sampler(
        ForeignGenerator(program, data, takes_classes=takes_classes, unit=unit),
        LatentSpace(program.chosen("latent-dim", latent_dim), num_classes),
        batch_size=facts.get("batch_size", BATCH_SIZE),
        batch_statistics=batch_norm == "batch",
        seed=program.chosen("seed", seed, 0),
        workers=workers,
    )
    return GeneratorSubject(
        sampler if facts else _OfOthers(sampler),
        None,
        data,
        seed=sampler.seed,
        stream=facts.get("stream", STREAM),
        batch_norm=batch_norm,
        num_classes=num_classes,
        workers=workers,
    )


class _NoSamples:
    def sample(self, num_images: int, *, stream: str, weights: Weights, batch_norm: BatchNormMode) -> Tensor:
        raise UserError("--evaluate: a discriminator draws no images")

    def protocol(self, *, weights: Weights, batch_norm: BatchNormMode) -> Mapping[str, Any]:
        return {}


def discriminator_subject(
    program: Program, data: ImageData, workers: Workers, *, classes: int | None
) -> GeneratorSubject:
    """The discriminator, whose scores of `data` and of outliers are compared."""
    takes_classes = classes is not None or "num_classes" in program.facts
    return GeneratorSubject(
        _NoSamples(),
        ForeignDiscriminator(program, takes_classes=takes_classes),
        data,
        seed=0,
        stream=STREAM,
        num_classes=program.chosen("num-classes", classes, 1),
        workers=workers,
    )
