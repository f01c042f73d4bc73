"""Whether a training on a card is the training that a CPU does."""

import copy
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.gpu.float64 import InFloat64, SharedDraws, gradients, relative_difference
from benchmarks.gpu.results import Bench
from benchmarks.gpu.setups import TASKS, TRAININGS, small_training, take_steps
from ndabench.augmentations.registry import Rule, implementations
from ndabench.models import spectral_norm
from ndabench.tasks.acceleration import choose_kernels
from ndabench.tasks.task import DivergedError
from ndabench.tasks.trainer import Trainer

NUM_STEPS = 3
TOLERANCES: dict[str, dict[str, float]] = {
    "fp32": {"loss": 1e-3, "gradient": 1e-2, "step": 0.2},
    "tf32": {"loss": 1e-2, "gradient": 0.1, "step": 0.5},
    "bf16": {"loss": 5e-2, "gradient": 0.4, "step": 1.0},
}
"""Largest relative differences from CPU float64: of the losses of each step; of all gradients of the first
step together, ‖g − g₆₄‖ / ‖g₆₄‖; of the change that three steps make to the weights.

TF32 has 10 bits of mantissa and bf16 7, and a step of Adam magnifies every gradient near zero to the learning
rate. On a CPU the contrastive tasks reach 4e-4, 6e-3 and 0.05 in float32, and 5e-3, 0.31 and 0.4 in bf16; the
GAN's gradients reach 2e-6 and 0.014."""
PRECISIONS: dict[str, dict[str, Any]] = {
    "fp32": {"tf32": False},
    "tf32": {"tf32": True},
    "bf16": {"precision": "bf16"},
}


def steps_match_float64(bench: Bench) -> None:
    """Losses, gradients and three steps of every task against the same in float64 on the CPU."""
    for task in TASKS:
        expected = _trace(task, bench, torch.device("cpu"), in_float64=True)
        for precision, keys in PRECISIONS.items():
            if precision == "tf32" and not bench.on_card:
                continue
            found = _trace(task, bench, bench.device, **keys)
            for part, tolerance in TOLERANCES[precision].items():
                worst = max(
                    relative_difference(found[part][name], expected[part][name]) for name in expected[part]
                )
                protocol = {"task": task, "precision": precision, "reference": "CPU float64"}
                # In a rehearsal a batch norm sees four values, which bf16 cannot tell apart.
                judged = None if bench.rehearse and precision == "bf16" else tolerance
                bench.proved(f"{task} {precision} {part}", worst, at_most=judged, protocol=protocol)


def _trace(
    task: str, bench: Bench, device: torch.device, *, in_float64: bool = False, **keys: Any
) -> dict[str, dict[str, list[Tensor]]]:
    """The losses, first gradients and change of weights of three steps."""
    with ExitStack() as modes:
        modes.enter_context(SharedDraws())
        trainer = small_training(task, device, tiny=bench.rehearse, steps=NUM_STEPS, **keys)
        networks = trainer.task.networks()
        if in_float64:
            modes.enter_context(InFloat64())
            for part in trainer.task.parts().values():
                if isinstance(part, torch.nn.Module):
                    part.double()
        choose_kernels(trainer.config, device, lambda: "")
        before = {name: [p.detach().clone() for p in n.parameters()] for name, n in networks.items()}
        losses: list[Tensor] = []
        first: dict[str, list[Tensor]] = {}
        for step in range(NUM_STEPS):
            take_steps(trainer, 1)
            first = first or gradients(networks)
            losses.append(torch.tensor(list(trainer.task.curves.read().values()), dtype=torch.float64))
            trainer.task.curves.clear()
            trainer.step = step + 1
        changes = {
            name: [p.detach() - old for p, old in zip(n.parameters(), before[name], strict=True)]
            for name, n in networks.items()
        }
    return {"loss": {"all": losses}, "gradient": first, "step": changes}


@contextmanager
def deterministic() -> Iterator[None]:
    """Raises where an operation has no deterministic kernel. `run.sh` sets CUBLAS_WORKSPACE_CONFIG."""
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = benchmark


def repeats_bit_for_bit(bench: Bench) -> None:
    """Two runs of every task in deterministic mode end in the same bits."""
    for task in TASKS:
        states = []
        try:
            with deterministic():
                for _ in range(2):
                    trainer = small_training(task, bench.device, tiny=bench.rehearse)
                    take_steps(trainer, bench.sized(5, 2))
                    states.append(trainer.state_dict())
        except RuntimeError as error:  # the operation that has no deterministic kernel
            bench.proved(task, 0, at_least=1, note=str(error).partition("\n")[0][:200])
            continue
        bench.proved(task, float(_same(*states)), at_least=1, protocol={"steps": bench.sized(5, 2)})


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def negatives_keep_their_contract(bench: Bench) -> None:
    """Every negative with a generator on the device: shape, dtype, change, repeatability, no host read."""
    shapes: dict[Rule, tuple[int, ...]] = {"corrected": (3, 32, 32), "clips": (3, 10, 32, 32)}
    for medium, shape in shapes.items():
        for dtype in (torch.uint8, torch.float32):
            broken = []
            negatives = implementations(medium)
            for name, function in negatives.items():
                reason = _breach(function, shape, dtype, bench)
                if reason:
                    broken.append(f"{name}: {reason}")
            kind = str(dtype).removeprefix("torch.")
            bench.proved(
                f"{medium} {kind} broken",
                len(broken),
                at_most=0,
                note="; ".join(broken),
                protocol={"negatives": sorted(negatives)},
            )


def _breach(function: Any, shape: tuple[int, ...], dtype: torch.dtype, bench: Bench) -> str:
    """What a negative does wrong, or an empty string."""
    pixels = torch.randint(
        0, 256, (16, *shape), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    batch = pixels.to(bench.device)
    batch = batch if dtype is torch.uint8 else batch.float().div(127.5).sub(1)
    before = batch.clone()
    try:
        function(batch, generator=_seeded(bench))  # fills the tables that live on the device
        with reads_forbidden(bench.device):
            once, again = (function(batch, generator=_seeded(bench)) for _ in range(2))
    except Exception as error:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:100]}"
    if (once.shape, once.dtype, once.device) != (batch.shape, batch.dtype, batch.device):
        return f"gives {tuple(once.shape)} {once.dtype} on {once.device}"
    if not torch.equal(batch, before):
        return "changes its input"
    if not torch.equal(once, again):
        return "differs at the same seed"
    if not (once != batch).flatten(1).any(1).all():
        return "leaves an image as it is"
    return ""


def _seeded(bench: Bench) -> torch.Generator:
    return torch.Generator(bench.device).manual_seed(3)


@contextmanager
def reads_forbidden(device: torch.device) -> Iterator[None]:
    """On a card, raises where the host waits for the device."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def a_step_waits_for_nothing(bench: Bench) -> None:
    """A training step of every task and method never makes the host wait for the device."""
    for name, (task, keys) in TRAININGS.items():
        trainer = small_training(task, bench.device, tiny=bench.rehearse, **keys)
        take_steps(trainer, 2)
        batches = trainer.task.batches(2)
        reason = ""
        try:
            with reads_forbidden(bench.device):
                trainer.task.training_step(next(batches), 2)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0][:200]
        bench.proved(name, float(not reason), at_least=1, note=reason)


def nan_is_found(bench: Bench) -> None:
    """A weight that becomes NaN under bf16 ends the training with its step."""
    for task in TASKS:
        trainer = small_training(task, bench.device, tiny=bench.rehearse, steps=5, precision="bf16")
        run = trainer.run()
        next(progress for progress in run if progress.step == 2)
        network = next(iter(trainer.task.networks().values()))
        with torch.no_grad():
            next(iter(network.parameters())).fill_(float("nan"))
        reason = "the training went on"
        try:
            list(run)
        except DivergedError as error:
            reason = str(error)
        bench.proved(task, float(reason.endswith("is nan at step 3")), at_least=1, note=reason)


def checkpoints_move(bench: Bench) -> None:
    """A checkpoint from the device continues on the CPU, and one from there on the device again.

    The weights are those that were saved; the random draws are new where the kind of device is another, the
    same at every continuation, and a note says so.
    """
    places = [bench.device, torch.device("cpu"), bench.device]
    for task in TASKS:
        content, saved = b"", None
        for leg, (before, place) in enumerate(zip([None, *places], places, strict=False), start=1):
            where = f"{task}, leg {leg} on {place.type}"
            trainers = [small_training(task, place, tiny=bench.rehearse, log_every=2) for _ in range(2)]
            if saved is not None:
                state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
                for trainer in trainers:
                    trainer.load_state_dict(state)
                apart = max(_apart(saved, trainers[0]))
                bench.proved(f"{where}: weights", apart, at_most=0, note="the weights as they were saved")
                streams = [
                    [stream.get_state() for stream in trainer.task.streams.values()] for trainer in trainers
                ]
                bench.proved(f"{where}: draws repeat", float(_same(*streams)), at_least=1)
                noted = any(progress.notes for progress in islice(trainers[1].run(), 1))
                moved = before is not None and before.type != place.type
                bench.proved(f"{where}: noted", float(noted == moved), at_least=1)
            take_steps(trainers[0], 2)
            values = torch.tensor(list(trainers[0].task.curves.read().values()))
            bench.proved(f"{where}: trains", float(values.isfinite().all()), at_least=1)
            buffer = io.BytesIO()
            torch.save(trainers[0].state_dict(), buffer)
            content, saved = buffer.getvalue(), trainers[0]


def _apart(one: Trainer, other: Trainer) -> list[float]:
    pairs = zip(one.task.networks().values(), other.task.networks().values(), strict=True)
    return [relative_difference(list(right.parameters()), list(left.parameters())) for left, right in pairs]


def spectral_norms_together(bench: Bench) -> None:
    """Weights normalised in the same kernels equal those normalised layer by layer, after five calls."""
    trainer = small_training("gan", bench.device, tiny=bench.rehearse)
    together = frozenset({bench.device.type})
    for name, network in trainer.task.networks().items():
        found = []
        for devices in (frozenset[str](), together):
            each = copy.deepcopy(network)
            weights = [one for one in each.modules() if isinstance(one, spectral_norm.SpectralWeight)]
            with patch.object(spectral_norm, "TOGETHER_ON", devices):
                for _ in range(5):
                    spectral_norm.normalise_together(each)
                    made = [weight() for weight in weights]
            found.append([*made, *(weight.u for weight in weights)])
        protocol = {"layers": len(found[0]) // 2}
        bench.proved(name, relative_difference(found[1], found[0]), at_most=1e-4, protocol=protocol)


def captured_matches_eager(bench: Bench) -> None:
    """Three steps of the GAN as a CUDA graph equal the eager ones: curves, weights and random streams."""
    ends = []
    with deterministic():
        for captured in (False, True):
            trainer = small_training("gan", bench.device, tiny=bench.rehearse, cuda_graph=captured)
            take_steps(trainer, NUM_STEPS)
            ends.append(trainer)
    curves = [
        torch.tensor(list(trainer.task.curves.read().values()), dtype=torch.float64) for trainer in ends
    ]
    bench.proved("curves", relative_difference([curves[1]], [curves[0]]), at_most=1e-5)
    bench.proved("weights", max(_apart(*ends)), at_most=1e-5)
    streams = [[one.get_state() for one in trainer.task.streams.values()] for trainer in ends]
    bench.proved("random streams", float(_same(*streams)), at_least=1)


def compiled_matches_eager(bench: Bench) -> None:
    """One step of the GAN and of MoCo with `compile: true` equals the eager one."""
    for task in ("gan", "moco"):
        losses = []
        for compiled in (False, True):
            trainer = small_training(task, bench.device, tiny=bench.rehearse, compile=compiled, tf32=False)
            notes = choose_kernels(trainer.config, bench.device, trainer.task.compile)
            if compiled and notes["compiled"].value != 1:
                raise RuntimeError(f"{task}: {notes['compiled'].protocol['failure']}")
            take_steps(trainer, 1)
            losses.append(list(trainer.task.curves.read().values()))
        eager, fast = (torch.tensor(each, dtype=torch.float64) for each in losses)
        bench.proved(f"{task} losses", relative_difference([fast], [eager]), at_most=1e-3)
