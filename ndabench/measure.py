"""`python -m ndabench.measure images|encoder`: measures what others made, without Ray.

The results are records like those of trials, marked external: with the `--out` of a sweep its report shows
them next to its arms.
"""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ndabench.command_line import results_folder, run, show
from ndabench.errors import UserError

if TYPE_CHECKING:
    from ndabench.data.source import ImageConfig
    from ndabench.external.recording import External, SweepDefaults
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
    from ndabench.external.images import load_reference_data, open_images
    from ndabench.external.recording import External, SweepDefaults, dumped
    from ndabench.metrics.generators.feature_config import FeatureMeasure
    from ndabench.metrics.registry import evaluations_of
    from ndabench.metrics.subjects import GENERATOR
    from ndabench.records import RecordStore

    store, workers = RecordStore(results_folder(out, "external")), _workers()
    defaults = SweepDefaults(store)
    compared = _reference(defaults, reference, image_size)
    data = load_reference_data(compared, workers.device)
    keys = {"path": pictures, "image_size": image_size, "channels": data.image_shape[0]}
    config = parse(ImageCollectionConfig, keys, str(pictures))
    subject = open_images(config, data, workers)
    known = evaluations_of(GENERATOR)
    wanted = defaults.evaluations(evaluate or [], known)
    extractors = extractor or ["classifier"]
    chosen = wanted or usual_evaluations(len(subject.images), data, extractors, weights)
    held_out = [one.name for one in chosen if isinstance(one, FeatureMeasure) and one.of_held_out]
    if data.validation is data.test and held_out:
        raise UserError(f"--evaluate: {held_out[0]} needs held-out images; give a data set as --reference")
    external = External(
        name or pictures.stem or "images", "images", subject.content_hash, {"num_images": len(subject.images)}
    )
    _measure_and_show(external, subject, data, chosen, store, defaults, {"data": dumped(compared)})


def usual_evaluations(
    num_samples: int, data: Any, extractors: Sequence[str], weights: Path | None
) -> "list[Evaluation]":
    """Every evaluation of generated images by each of the extractors, as far as `num_samples` suffice.

    Pictures of others do not tell their classes, and a folder holds nothing out. One that cannot be had with
    its default keys gets a line that says why.
    """
    # late: --help must not wait for pydantic
    from ndabench.config import parse
    from ndabench.metrics.generators.config import GeneratorEvaluation
    from ndabench.metrics.generators.extractor_registry import EXTRACTORS
    from ndabench.metrics.generators.feature_config import FeatureMeasure
    from ndabench.metrics.registry import EVALUATIONS, evaluations_of
    from ndabench.metrics.subjects import GENERATOR

    found: list[Evaluation] = []
    for extractor in extractors:
        takes = EXTRACTORS[extractor].takes
        shared = {"num_samples": num_samples, "extractor": extractor}
        shared |= {"weights": weights} if weights is not None and "weights" in takes else {}
        for name in evaluations_of(GENERATOR):
            kind = EVALUATIONS[name].config
            if not issubclass(kind, GeneratorEvaluation):
                continue
            if issubclass(kind, FeatureMeasure) and (
                kind.of_classes or (kind.of_held_out and data.validation is data.test)
            ):
                continue
            try:
                one = parse(kind, {"name": name, **shared}, name)
                one.check(data)
                found.append(one)
            except UserError as error:
                print(f"left out: {error}")
    return found


def _reference(defaults: "SweepDefaults", reference: str | None, image_size: int | None) -> "ImageConfig":
    """The collection or data set that `--reference` names, brought to `image_size`."""
    # late: --help must not wait for pydantic
    from ndabench.config import parse
    from ndabench.data.collection import ARCHIVES, ImageCollectionConfig
    from ndabench.data.source import ImageConfig

    sized = {} if image_size is None else {"image_size": image_size}
    if reference is not None and (Path(reference).is_dir() or Path(reference).suffix.lower() in ARCHIVES):
        return parse(ImageCollectionConfig, {"path": reference, **sized}, "--reference")
    found = defaults.data(reference, "reference")
    if not isinstance(found, ImageConfig):
        raise UserError(f"--reference: {found.name} does not hold images")
    return found.model_copy(update=sized)


def _workers() -> Any:
    # late: --help must not wait for torch
    import torch

    from ndabench.distributed import Workers

    return Workers(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def _measure_and_show(
    external: "External",
    subject: "Subject",
    data: Any,
    evaluations: "Sequence[Evaluation]",
    store: "RecordStore",
    defaults: "SweepDefaults",
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
        sweep=defaults.sweep,
        config={**config, "evaluate": [dumped(one) for one in evaluations]},
        told=told,
        one_split=data.validation is data.test,
    )
    show(store, console)


def encoder(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint that torch or safetensors wrote.")],
    normalise: Annotated[
        str | None,
        typer.Option(help="How it was fed: half ([-1, 1]), unit ([0, 1]), imagenet, cifar10, cifar100."),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="resnet50, torchvision:NAME or timm:NAME; default: the ResNet in the file."),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="What its weights' names begin with in the file.")
    ] = None,
    partly: Annotated[bool, typer.Option("--partly", help="Measure it though weights are missing.")] = False,
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA SET", help="As in a sweep file; default: that of the sweep in --out."),
    ] = None,
    evaluate: Annotated[list[str] | None, EVALUATE] = None,
    name: Annotated[str | None, NAME] = None,
    out: Annotated[str, OUT] = "reports/external",
) -> None:
    """Measure the image encoder in a checkpoint of torchvision, timm, solo-learn, lightly or MoCo."""
    # late: --help must not wait for torch
    from ndabench.config import parse
    from ndabench.data.registry import load_data
    from ndabench.data.source import ImageConfig
    from ndabench.external.encoders import open_encoder
    from ndabench.external.recording import External, SweepDefaults, dumped
    from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
    from ndabench.metrics.registry import EvaluationConfig, evaluations_of
    from ndabench.metrics.subjects import IMAGE_ENCODER
    from ndabench.records import RecordStore

    store, workers = RecordStore(results_folder(out, "external")), _workers()
    defaults = SweepDefaults(store)
    wanted = defaults.evaluations(evaluate or [], evaluations_of(IMAGE_ENCODER))
    usual = [parse(EvaluationConfig, one, "--evaluate") for one in ("knn", "linear_probe_lbfgs")]
    config = defaults.data(data, "data")
    if not isinstance(config, ImageConfig):
        raise UserError(f"--data: {config.name} does not hold images")
    loaded = load_data(config, workers.device)
    found = open_encoder(
        checkpoint, loaded, workers, encoder=encoder, normalise=normalise, prefix=prefix, partly=partly
    )
    print(found.match.report)
    details: dict[str, Any] = {
        "encoder": found.title,
        "normalisation": normalise,
        "prefix": found.match.prefix,
    }
    details |= {"missing": len(found.match.missing), "surplus": len(found.match.surplus)}
    external = External(name or checkpoint.stem, "encoder", found.sha256, details, (found.match.report,))
    subject = ImageEncoderSubject(found.network, loaded, seed=0, workers=workers)
    _measure_and_show(external, subject, loaded, wanted or usual, store, defaults, {"data": dumped(config)})


COMMANDS = (images, encoder)

if __name__ == "__main__":
    run(*COMMANDS)
