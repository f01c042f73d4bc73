"""`python -m ndabench.measure images|encoder|generator|discriminator`: measures others' work, without Ray.

The results are records like those of trials, marked external: with the `--out` of a sweep its report shows
them next to its arms.
"""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ndabench.command_line import results_folder, run, show
from ndabench.errors import UserError

if TYPE_CHECKING:
    from ndabench.external.recording import External
    from ndabench.metrics.evaluation import Evaluation
    from ndabench.metrics.subjects import Subject
    from ndabench.records import RecordStore

OUT = typer.Option(help="The folder of the records and the report; it may be that of a sweep.")
NAME = typer.Option(help="What tables call it; default: the name of the file or folder.")
EVALUATE = typer.Option(
    metavar="YAML", help="An evaluation, such as fd or '{name: kid, subset_size: 100}'; may be repeated."
)
EXTRACTOR = typer.Option(help="The extractors of the features that are compared; may be repeated.")
WEIGHTS = typer.Option(help="The file with the weights of an extractor that needs one.")
IMAGE_SIZE = typer.Option(min=1, max=4096, help="Brings all pictures to this size: centred squares, resized.")
DATA = typer.Option(metavar="DATA SET", help="As in a sweep file; default: that of the sweep in --out.")
SOURCE = typer.Argument(
    metavar="FILE|MODULE:FUNCTION", help="A program of torch.export (.pt2) or TorchScript, or a function."
)
LATENT_DIM = typer.Option(min=1, help="How many values of noise an image takes, where the file does not say.")
CLASSES = typer.Option("--num-classes", min=1, help="How many classes it takes, where the file does not say.")
UNIT = typer.Option("--unit", help="Its float images are in [0, 1], not in [-1, 1].")
USUAL_EXTRACTORS = ("classifier",)
REFERENCE = typer.Option(
    metavar="FOLDER|ZIP|NPZ|DATA SET",
    help="What the pictures are compared with; default: the data of the sweep in --out.",
)


def images(
    pictures: Annotated[Path, typer.Argument(help="A folder of pictures, of any depth, a zip or an npz.")],
    reference: Annotated[str | None, REFERENCE] = None,
    evaluate: Annotated[list[str] | None, EVALUATE] = None,
    extractor: Annotated[list[str] | None, EXTRACTOR] = None,
    weights: Annotated[Path | None, WEIGHTS] = None,
    image_size: Annotated[int | None, IMAGE_SIZE] = None,
    name: Annotated[str | None, NAME] = None,
    out: Annotated[str, OUT] = "reports/external",
) -> None:
    """Measure a folder of pictures against other pictures: Fréchet distance, kernel distance and so on."""
    # late: --help must not wait for torch
    from ndabench.config import parse
    from ndabench.data.collection import ImageCollectionConfig
    from ndabench.external.choices import OF_SAMPLES, SweepDefaults, require_possible, usual_evaluations
    from ndabench.external.images import load_reference_data, open_images
    from ndabench.external.recording import External, dumped
    from ndabench.records import RecordStore

    store, workers = RecordStore(results_folder(out, "external")), _workers()
    defaults = SweepDefaults(store)
    compared = defaults.reference(reference, image_size)
    data = load_reference_data(compared, workers.device)
    keys = {"path": pictures, "image_size": image_size, "channels": data.image_shape[0]}
    config = parse(ImageCollectionConfig, keys, str(pictures))
    subject = open_images(config, data, workers)
    chosen = defaults.evaluations(evaluate or [], OF_SAMPLES) or usual_evaluations(
        len(subject.images),
        data,
        extractor or USUAL_EXTRACTORS,
        weights,
        of_classes=subject.classes is not None,
    )
    require_possible(chosen, data, of_classes=subject.classes is not None)
    external = External(
        name or pictures.stem or "images", "images", subject.content_hash, {"num_images": len(subject.images)}
    )
    _measure_and_show(external, subject, data, chosen, store, defaults.sweep, {"data": dumped(compared)})


def generator(
    source: Annotated[str, SOURCE],
    reference: Annotated[str | None, REFERENCE] = None,
    num: Annotated[int, typer.Option(min=2, max=10**7, help="How many images.")] = 50_000,
    latent_dim: Annotated[int | None, LATENT_DIM] = None,
    classes: Annotated[int | None, CLASSES] = None,
    unit: Annotated[bool, UNIT] = False,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Of the noise; default 0.")] = None,
    evaluate: Annotated[list[str] | None, EVALUATE] = None,
    extractor: Annotated[list[str] | None, EXTRACTOR] = None,
    weights: Annotated[Path | None, WEIGHTS] = None,
    image_size: Annotated[int | None, IMAGE_SIZE] = None,
    name: Annotated[str | None, NAME] = None,
    out: Annotated[str, OUT] = "reports/external",
) -> None:
    """Measure a generator of images: one that ndabench exported, TorchScript, or any function."""
    # late: --help must not wait for torch
    from ndabench.external.choices import OF_SAMPLES, SweepDefaults, require_possible, usual_evaluations
    from ndabench.external.images import load_reference_data
    from ndabench.external.programs import generator_subject, open_program
    from ndabench.external.recording import External, dumped
    from ndabench.records import RecordStore

    store, workers = RecordStore(results_folder(out, "external")), _workers()
    defaults = SweepDefaults(store)
    compared = defaults.reference(reference, image_size)
    data = load_reference_data(compared, workers.device)
    program = open_program(source, workers.device)
    subject = generator_subject(
        program, data, workers, latent_dim=latent_dim, classes=classes, unit=unit, seed=seed
    )
    subject.sample(2, stream="trial")  # before anything slow
    of_classes = subject.num_classes == len(data.class_names) > 1
    chosen = defaults.evaluations(evaluate or [], OF_SAMPLES) or usual_evaluations(
        num, data, extractor or USUAL_EXTRACTORS, weights, of_classes=of_classes
    )
    require_possible(chosen, data, of_classes=of_classes)
    details = {"stream": subject.stream, "seed": subject.seed, "num_classes": subject.num_classes}
    external = External(name or _name(source, program.facts), "generator", program.sha256, details)
    _measure_and_show(external, subject, data, chosen, store, defaults.sweep, {"data": dumped(compared)})


def discriminator(
    source: Annotated[str, SOURCE],
    data: Annotated[str | None, DATA] = None,
    classes: Annotated[int | None, CLASSES] = None,
    evaluate: Annotated[list[str] | None, EVALUATE] = None,
    name: Annotated[str | None, NAME] = None,
    out: Annotated[str, OUT] = "reports/external",
) -> None:
    """Measure how a discriminator's logits tell images of a data set from outliers."""
    # late: --help must not wait for torch
    from ndabench.config import parse
    from ndabench.data.registry import load_data
    from ndabench.external.choices import OF_DISCRIMINATORS, SweepDefaults
    from ndabench.external.programs import discriminator_subject, open_program
    from ndabench.external.recording import External, dumped
    from ndabench.metrics.registry import EvaluationConfig
    from ndabench.records import RecordStore

    store, workers = RecordStore(results_folder(out, "external")), _workers()
    defaults = SweepDefaults(store)
    config = defaults.images(data, "data")
    loaded = load_data(config, workers.device)
    program = open_program(source, workers.device)
    subject = discriminator_subject(program, loaded, workers, classes=classes)
    wanted = defaults.evaluations(evaluate or [], OF_DISCRIMINATORS)
    chosen = wanted or [parse(EvaluationConfig, "anomaly", "--evaluate")]
    details = {"num_classes": subject.num_classes}
    external = External(name or _name(source, program.facts), "discriminator", program.sha256, details)
    _measure_and_show(external, subject, loaded, chosen, store, defaults.sweep, {"data": dumped(config)})


def _name(source: str, facts: Mapping[str, Any]) -> str:
    """The trial that a program of ndabench comes from, the function's name, or the file's."""
    return str(facts.get("trial") or (source if ":" in source else Path(source).stem))


def _workers() -> Any:
    from ndabench.distributed import Workers, usual_device  # late: --help must not wait for torch

    return Workers(device=usual_device())


def _measure_and_show(
    external: "External",
    subject: "Subject",
    data: Any,
    evaluations: "Sequence[Evaluation]",
    store: "RecordStore",
    sweep: str,
    config: dict[str, Any],
) -> None:
    # late: --help must not wait for torch
    from ndabench.external.recording import dumped, measure

    console = Console()

    def told(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True, markup=False)

    if not evaluations:
        raise UserError("--evaluate: no evaluation fits; name one")
    measure(
        external,
        subject,
        data,
        evaluations,
        store,
        _workers(),
        sweep=sweep,
        config={**config, "evaluate": [dumped(one) for one in evaluations]},
        told=told,
        one_split=data.validation is data.test,
    )
    show(store, console)


def encoder(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint that torch or safetensors wrote.")],
    normalise: Annotated[
        str | None,
        typer.Option(
            help="How it was fed: half ([-1, 1]), unit, imagenet, cifar10, cifar100, kinetics, pytorchvideo."
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="resnet50, r3d_18, torchvision:NAME or timm:NAME; default: the ResNet in the file."
        ),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="What its weights' names begin with in the file.")
    ] = None,
    partly: Annotated[bool, typer.Option("--partly", help="Measure it though weights are missing.")] = False,
    data: Annotated[str | None, DATA] = None,
    frames: Annotated[int | None, typer.Option(min=1, max=1024, help="Frames of a clip.")] = None,
    stride: Annotated[int, typer.Option(min=1, max=1024, help="One video frame in so many is taken.")] = 1,
    size: Annotated[int | None, typer.Option(min=4, max=4096, help="Side of the middle of frames.")] = None,
    evaluate: Annotated[list[str] | None, EVALUATE] = None,
    name: Annotated[str | None, NAME] = None,
    out: Annotated[str, OUT] = "reports/external",
) -> None:
    """Measure the encoder of images or clips in a checkpoint of torchvision, timm, pytorchvideo, MoCo, …"""
    # late: --help must not wait for torch
    from ndabench.config import parse
    from ndabench.data.registry import load_data
    from ndabench.external.choices import OF_CLIP_ENCODERS, SweepDefaults
    from ndabench.external.encoders import clip_sampling, encoder_subject, open_encoder
    from ndabench.external.recording import External, dumped
    from ndabench.metrics.registry import EvaluationConfig, evaluations_of
    from ndabench.metrics.subjects import IMAGE_ENCODER
    from ndabench.records import RecordStore

    store, workers = RecordStore(results_folder(out, "external")), _workers()
    defaults = SweepDefaults(store)
    config = defaults.data(data, "data")
    loaded: Any = load_data(config, workers.device)
    sampling = clip_sampling(loaded, frames, stride, size)
    known = evaluations_of(IMAGE_ENCODER) if sampling is None else OF_CLIP_ENCODERS
    usual = ("knn", "linear_probe_lbfgs") if sampling is None else ("video_knn", "retrieval", "linear_probe")
    chosen = defaults.evaluations(evaluate or [], known) or [
        parse(EvaluationConfig, one, "--evaluate") for one in usual
    ]
    found = open_encoder(
        checkpoint,
        loaded.image_shape if sampling is None else sampling.shape(loaded),
        workers.device,
        encoder=encoder,
        normalise=normalise,
        prefix=prefix,
        partly=partly,
    )
    print(found.match.report)
    details: dict[str, Any] = {
        "encoder": found.title,
        "normalisation": normalise,
        "prefix": found.match.prefix,
    }
    details |= {"missing": len(found.match.missing), "surplus": len(found.match.surplus)}
    if sampling is not None:
        details |= sampling.protocol(loaded)
    external = External(name or checkpoint.stem, "encoder", found.sha256, details, (found.match.report,))
    subject = encoder_subject(found.network, loaded, sampling, workers)
    _measure_and_show(external, subject, loaded, chosen, store, defaults.sweep, {"data": dumped(config)})


COMMANDS = (images, encoder, generator, discriminator)

if __name__ == "__main__":
    run(*COMMANDS)
