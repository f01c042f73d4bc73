"""How fast the trainings are on a card, what each lever is worth, and which bound is left."""

import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks import contrastive_step, dpc_step, gan_step
from benchmarks.gpu import packed
from benchmarks.gpu.results import Bench
from benchmarks.gpu.timing import (
    flops_of,
    median,
    race_for,
    rates,
    seconds_per_call,
    share_of_peak,
    wait_for,
)
from benchmarks.racing import Steps, random_images
from ndabench.augmentations.registry import implementations
from ndabench.data.feeding import ResidentSplit
from ndabench.data.images import ImageData
from ndabench.models import ema, spectral_norm

STUDIOGAN_IMAGES_PER_SECOND = 694
"""Real images a second in StudioGAN's own log of BigGAN on CIFAR-10, for comparison."""


def machine(bench: Bench) -> None:
    """The card's name, its memory, and the two ceilings: a large copy, and a large bf16 product."""
    size = bench.sized(2**30, 2**20)
    source = torch.empty(size, dtype=torch.uint8, device=bench.device).random_(0, 256)
    target = torch.empty_like(source)
    samples = rates(seconds_per_call(lambda: target.copy_(source), bench), 2 * size / 1e12)
    bench.measured("copy", median(samples), "TB/s", samples=samples, protocol={"bytes": size})
    side = bench.sized(8192, 64)
    for precision, dtype in (("bf16", torch.bfloat16), ("tf32", torch.float32)):
        torch.backends.cuda.matmul.allow_tf32 = True
        left = torch.randn(side, side, device=bench.device, dtype=dtype)
        samples = rates(seconds_per_call(partial(torch.mm, left, left), bench), 2 * side**3 / 1e12)
        bench.measured(f"product {precision}", median(samples), "TFLOP/s", samples=samples,
                       protocol={"side": side})  # fmt: skip
    if bench.on_card:
        free, total = torch.cuda.mem_get_info()
        bench.measured("memory", total / 2**30, "GiB", note=f"{free / 2**30:.1f} GiB free")


BASE = {"channels_last": False, "fused": False, "tf32": False}
BEST = {"precision": "bf16"}
"""channels_last, fused Adam and TF32 are defaults."""
GAN_LEVERS: dict[str, dict[str, Any]] = {
    "fp32, no lever": BASE,
    "+ TF32": {**BASE, "tf32": True},
    "+ bf16": {**BASE, "tf32": True, "precision": "bf16"},
    "+ channels_last": {"fused": False, "precision": "bf16"},
    "+ fused Adam": BEST,
}
"""Each line has one lever more than the one before."""


def _sizes(bench: Bench) -> dict[str, Any]:
    return {
        "batch_size": bench.sized(64, 4),
        "width": bench.sized(64, 2),
        "steps": bench.sized(10, 1),
        "device": bench.device,
    }


def gan_speed(bench: Bench) -> None:
    """NDA-BigGAN's step (4 D + 1 G, jigsaw): the levers one at a time, and the released step."""
    sizes = _sizes(bench)
    images = gan_step.NUM_DISCRIMINATOR_STEPS * sizes["batch_size"]
    protocol = {**_plain(sizes), "discriminator_steps": 4, "negative": "jigsaw", "lambda": 0.25, "side": 32}
    flops = flops_of(_one_gan_step(BEST, sizes))
    contestants: dict[str, Steps] = {
        name: _quietly(gan_step.ours, settings, **sizes) for name, settings in GAN_LEVERS.items()
    }
    contestants["best, data on the host"] = gan_step.ours(BEST, **sizes, data=_on_the_host(bench.device))
    contestants["best, spectral norms one by one"] = _one_by_one(gan_step.ours(BEST, **sizes))
    contestants["best, EMA tensor by tensor"] = _tensor_by_tensor(gan_step.ours(BEST, **sizes))
    samples = race_for(contestants, 25, bench)
    for name, seconds in samples.items():
        _report_gan(bench, name, seconds, sizes["steps"], images, flops, {**protocol, "lever": name})
    _headline(bench, protocol, flops)


def _headline(bench: Bench, protocol: dict[str, Any], flops: int) -> None:
    """The best step for half a minute, in turns with the released one where its code is at hand."""
    sizes = _sizes(bench)
    images = gan_step.NUM_DISCRIMINATOR_STEPS * sizes["batch_size"]
    contestants = {"best": gan_step.ours(BEST, **sizes)}
    checkout = packed.released()
    if checkout is not None:
        contestants["released"] = gan_step.released(checkout, **sizes)
    samples = race_for(contestants, 60 if checkout else 32, bench)
    for name, seconds in samples.items():
        at_least = 7000 if name == "best" else None
        _report_gan(bench, f"headline, {name}", seconds, sizes["steps"], images, flops, protocol, at_least)
    if checkout is None:
        bench.write("best / released", "not reached", "the released code is not among the packed files")
        return
    ratios = [slow / fast for slow, fast in zip(samples["released"], samples["best"], strict=True)]
    bench.measured("best / released", median(ratios), "×", samples=ratios, at_least=8, protocol=protocol)


def _report_gan(
    bench: Bench,
    name: str,
    seconds: list[float],
    steps: int,
    images: int,
    flops: int,
    protocol: dict[str, Any],
    at_least: float | None = None,
) -> None:
    speeds = rates(seconds, steps * images)
    note = f"{flops / 1e12:.3g} TFLOP a step"
    if bench.on_card:
        precision = "fp32" if "no lever" in name else "tf32" if name == "+ TF32" else "bf16"
        share = share_of_peak(flops, median(seconds) / steps, precision)
        note += f", {share:.1%} of the card's {precision} peak"
    bench.measured(name, median(speeds), "images/s", samples=speeds, at_least=at_least,
                   protocol=protocol, note=note)  # fmt: skip


def _plain(sizes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sizes.items() if key != "device"}


def _one_gan_step(settings: dict[str, Any], sizes: dict[str, Any]) -> Steps:
    take = gan_step.ours(settings, **{**sizes, "steps": 1})
    take()
    return take


def _quietly(build: Any, *arguments: Any, **keywords: Any) -> Steps:
    """A contestant that sets the process's TF32 switches again before each turn: they are global."""
    settings = arguments[0]
    take: Steps = build(*arguments, **keywords)
    tf32 = settings.get("tf32", True)

    def with_switches() -> None:
        if keywords["device"].type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.backends.cudnn.allow_tf32 = tf32
        take()

    return with_switches


class _HostSplit(ResidentSplit):
    """Keeps its images as floats on the host, and copies every batch, as training loops often do."""

    def __init__(self, data: ImageData, device: torch.device) -> None:
        self.split, self.device = data.train, device
        self.labels = data.train.labels

    def __len__(self) -> int:
        return len(self.split)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.split.batches(index_batches):
            floats = images.float()
            yield floats.to(self.device).byte(), labels.to(self.device)


def _on_the_host(device: torch.device) -> ImageData:
    data = random_images(torch.device("cpu"))
    split = _HostSplit(data, device)
    return ImageData(data.name, "", data.class_names, data.image_shape, split, split, split)


def _one_by_one(take: Steps) -> Steps:
    """The contestant with a power iteration for each layer separately."""

    def with_loop() -> None:
        with patch.object(spectral_norm, "TOGETHER_ON", frozenset()):
            take()

    return with_loop


def _tensor_by_tensor(take: Steps) -> Steps:
    """The contestant with a moving average that loops over its tensors."""

    @torch.no_grad()
    def trail(followers: Iterable[Tensor], leaders: Iterable[Tensor], *, decay: float) -> None:
        for follower, leader in zip(followers, leaders, strict=True):
            follower.lerp_(leader, 1 - decay)

    def with_loop() -> None:
        with patch.object(ema, "trail", trail):
            take()

    return with_loop


def gan_compiled(bench: Bench) -> None:
    """The best GAN step with `compile: true`, compared with the eager one in the same process."""
    _compared_with_eager(bench, "compiled", {"compile": True})


def gan_captured(bench: Bench) -> None:
    """The best GAN step as one CUDA graph, compared with the eager one in the same process."""
    _compared_with_eager(bench, "captured", {"cuda_graph": True})


def _compared_with_eager(bench: Bench, name: str, keys: dict[str, Any]) -> None:
    sizes = _sizes(bench)
    eager, other = gan_step.ours(BEST, **sizes), gan_step.ours({**BEST, **keys}, **sizes)
    samples = race_for({"eager": eager, name: other}, 15, bench)
    images = gan_step.NUM_DISCRIMINATOR_STEPS * sizes["batch_size"] * sizes["steps"]
    for name, seconds in samples.items():
        speeds = rates(seconds, images)
        bench.measured(name, median(speeds), "images/s", samples=speeds, protocol=_plain(sizes))


CIFAR_IMAGES, EPOCHS = 50_000, 200
MOCO_LEVERS: dict[str, tuple[dict[str, Any], float | None]] = {
    "fp32, no lever": ({"channels_last": False, "tf32": False}, None),
    "bf16, channels_last": ({"precision": "bf16"}, 10),
    "bf16, channels_last, 1 jigsaw key": ({"precision": "bf16", "num_nda_keys": 1}, 12),
}


def moco_speed(bench: Bench) -> None:
    """MoCo with ResNet-18 on 32×32: images a second, and the minutes of 200 epochs that they make."""
    batch = bench.sized(512, 8)
    sizes = {"batch_size": batch, "width": bench.sized(64, 2), "steps": bench.sized(10, 1)}
    with patch.object(contrastive_step, "QUEUE", bench.sized(4096, 16)):
        contestants = {
            name: _quietly(contrastive_step.ours, settings, **sizes, device=bench.device)
            for name, (settings, _) in MOCO_LEVERS.items()
        }
    samples = race_for(contestants, 32, bench)
    for name, seconds in samples.items():
        speeds = rates(seconds, batch * sizes["steps"])
        protocol = {**sizes, "encoder": "ResNet-18, CIFAR stem", "queue": 4096, "lever": name}
        bench.measured(name, median(speeds), "images/s", samples=speeds, protocol=protocol)
        minutes = [CIFAR_IMAGES * EPOCHS / speed / 60 for speed in speeds]
        bench.measured(
            f"{EPOCHS} epochs, {name}", median(minutes), "min", samples=minutes,
            at_most=MOCO_LEVERS[name][1], protocol=protocol, note="extrapolated from the rate",
        )  # fmt: skip


def dpc_speed(bench: Bench) -> None:
    """DPC's step: clips a second in bf16, and a profile that names what bounds it."""
    sizes = dpc_step.Sizes(
        depth=18,
        width=bench.sized(64, 2),
        side=bench.sized(128, 32),
        blocks=8,
        block_frames=5,
        batch_size=bench.sized(32, 2),
    )
    with patch.object(dpc_step, "NUM_VIDEOS", bench.sized(16, 2)):
        take = dpc_step.ours({"precision": "bf16"}, sizes, steps=1, device=bench.device)
    take()
    flops = flops_of(take)
    samples = race_for({"step": take}, 8, bench)["step"]
    speeds = rates(samples, sizes.batch_size)
    note = f"{flops / 1e12:.3g} TFLOP a step"
    if bench.on_card:
        note += f", {share_of_peak(flops, median(samples), 'bf16'):.1%} of the card's bf16 peak"
    bench.measured("bf16", median(speeds), "clips/s", samples=speeds,
                   protocol={"sizes": str(sizes)}, note=note)  # fmt: skip
    _profile(bench, "dpc", take)


def gan_profile(bench: Bench) -> None:
    """What the best GAN step spends its time on, and how long the card waits for the host."""
    _profile(bench, "gan", _one_gan_step(BEST, _sizes(bench)))


def _profile(bench: Bench, name: str, take: Steps) -> None:
    """Kernels by time, as text, and the share of the step in which the card works."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * bench.on_card
    take()
    wait_for(bench.device)
    wall = seconds_per_call(take, bench, seconds=0)
    with profile(activities=activities) as recorded:
        take()
        wait_for(bench.device)
    key = "self_device_time_total" if bench.on_card else "self_cpu_time_total"
    averages = recorded.key_averages()
    table = averages.table(sort_by=key, row_limit=25, max_name_column_width=70)
    path = bench.folder / "profile.txt"
    before = path.read_text() if path.exists() else ""
    bench.keep("profile.txt", f"{before}== {name}\n{table}\n".encode())
    busy = sum(getattr(event, key) for event in averages) / 1e6
    largest = max(averages, key=lambda event: getattr(event, key))
    share = min(1.0, busy / median(wall))
    bound = "kernels" if share > 0.8 else "launches: the card waits for the host"
    bench.measured(
        f"{name}: share of the step in which the device works", share, "", samples=(),
        note=f"bound by {bound}; most time in {largest.key[:80]}",
    )  # fmt: skip


def negatives_speed(bench: Bench) -> None:
    """Every negative compared with a clone of the batch, eager and as a captured graph."""
    for count in bench.sized((256, 4096), (8,)):
        for mode in bench.sized(("captured", "eager"), ("eager",)):
            _negatives(bench, count, captured=mode == "captured")


def _negatives(bench: Bench, count: int, *, captured: bool) -> None:
    generator = torch.Generator(bench.device).manual_seed(0)
    batch = torch.rand(count, 3, 32, 32, generator=generator, device=bench.device) * 2 - 1
    mode = "captured" if captured else "eager"
    clone = median(_seconds(batch.clone, generator, bench, captured=captured))
    for name, function in implementations("corrected").items():
        label = f"{name}, {count} images, {mode}"
        try:
            samples = _seconds(
                partial(function, batch, generator=generator), generator, bench, captured=captured
            )
        except RuntimeError as error:
            bench.write(label, "failed", str(error).partition("\n")[0][:200])
            continue
        times = [seconds / clone for seconds in samples]
        bench.measured(label, median(times), "× clone", samples=times, at_most=1.5 if captured else None,
                       protocol={"shape": [count, 3, 32, 32], "clone_seconds": clone})  # fmt: skip


def _seconds(run: Any, generator: torch.Generator, bench: Bench, *, captured: bool) -> list[float]:
    if not captured:
        return seconds_per_call(run, bench, seconds=0.01, rounds=5)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        run()
    return seconds_per_call(graph.replay, bench, seconds=0.01, rounds=5)


def evaluation_speed(bench: Bench) -> None:
    """Features of 10k images through the Inception architecture, and a Fréchet distance at d = 2048."""
    from ndabench.data.sampling import in_order
    from ndabench.metrics.generators.extraction import BATCH_SIZE, extract
    from ndabench.metrics.generators.frechet import FrechetReference, frechet_distance, moments_of

    count, dimension = bench.sized(10_000, 4), bench.sized(2048, 32)
    images = random_images(bench.device).train
    extractor = _inception(bench)
    batches = [next(images.batches([index % 1024]))[0] for index in in_order(count, min(BATCH_SIZE, count))]
    extract(extractor, batches[: bench.sized(2, 1)])
    wait_for(bench.device)
    samples = race_for({"features": lambda: extract(extractor, batches)}, 0, bench, least_rounds=2)
    seconds = samples["features"]
    bench.measured("Inception features", median(seconds), "s", samples=seconds, at_most=15,
                   protocol={"images": count, "precision": "ieee fp32", "weights": "random"})  # fmt: skip
    features = torch.randn(count, dimension, device=bench.device)
    reference = FrechetReference.of(moments_of(features + 0.1).gaussian())
    run = {
        "moments in float64": lambda: moments_of(features).gaussian(),
        "distance": lambda: frechet_distance(reference, moments_of(features).gaussian()),
    }
    samples = race_for(run, 3, bench)
    for name, seconds in samples.items():
        bench.measured(f"Fréchet, {name}", median(seconds), "s", samples=seconds,
                       at_most=1 if name == "distance" else None,
                       protocol={"images": count, "dimension": dimension})  # fmt: skip


def _inception(bench: Bench) -> Any:
    """ndabench's Inception extractor on weights that nobody trained: the arithmetic is the same."""
    from torch_fidelity import feature_extractor_inceptionv3 as fidelity

    from ndabench.metrics.generators.inception import open_inception

    network = fidelity.FeatureExtractorInceptionV3
    with (
        patch.object(fidelity, "load_state_dict_from_url", lambda *_, **__: {}),
        patch.object(network, "load_state_dict", lambda *_: None),
    ):
        random = network("random", ["2048"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(random.state_dict(), path)
        return open_inception(weights=path, download=False, device=bench.device)
