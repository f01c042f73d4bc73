"""What a user can get wrong with contrastive learning is one clear line and exit code 2, early."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.command_lines import CommandLine

TINY: dict[str, Any] = {
    "name": "tiny",
    "task": {
        "name": "image_contrastive",
        "method": {"name": "moco", "queue_size": 16, "batch_norm_splits": 2},
        "encoder": {"name": "resnet", "width": 2},
        "batch_size": 8,
        "num_steps": 2,
    },
    "data": {"name": "digits", "image_size": 8},
    "arms": ["none"],
    "evaluate": ["knn"],
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NDABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def task(**changes: Any) -> dict[str, Any]:
    return {"task": {**TINY["task"], **changes}}


def detection(**settings: Any) -> dict[str, Any]:
    return {"evaluate": [{"name": "detection", **settings}]}


WRONG = {
    "a queue smaller than the batch": (
        task(method={"name": "moco", "queue_size": 4}),
        "method: queue_size 4 is smaller than the 8 keys of a step",
    ),
    "a queue that takes no whole batches": (
        task(method={"name": "moco", "queue_size": 12}),
        "method: queue_size 12 is not a multiple of the 8 keys of a step",
    ),
    "an unknown method": (task(method="byol"), "task.method.name: unknown name 'byol'.*moco, simclr"),
    "an unknown encoder": (task(encoder="vit"), "task.encoder.name: unknown name 'vit'.*pixels, resnet"),
    "another depth": (task(encoder="resnet20"), "task.encoder.depth: .*18, 34 or 50"),
    "no encoder weights": (
        task(encoder={"name": "resnet", "width": 2, "weights": "/nowhere/encoder.pt"}),
        "there is no file of encoder weights at /nowhere/encoder.pt",
    ),
    "training on pixels": (
        task(encoder="pixels"),
        "the encoder pixels has nothing to train; set num_steps: 0",
    ),
    "detection from pixels": (
        task(encoder="pixels", num_steps=0) | detection(),
        "evaluate: detection needs a ResNet to start from",
    ),
    "a GAN's evaluation": (
        {"evaluate": [{"name": "fd"}]},
        "evaluate: task image_contrastive: unknown evaluation 'fd'.*detection, .*knn",
    ),
    "an evaluation asked for twice": ({"evaluate": ["knn", "knn"]}, "evaluate: 2 evaluations report knn"),
    "a negative that does not fit the view": (
        {**task(views={"size": 9}), "arms": ["jigsaw"]},
        "jigsaw: a grid of 2 does not divide images of 9×9",
    ),
    "a negative lambda": ({"arms": ["jigsaw"], "search": {"lambda": [-1]}}, r"lambda must lie in \[0, ∞\)"),
    "an arm's unknown key": (
        {"arms": [{"name": "other", "task": {"num_step": 0}}]},
        "arm other: task: unknown key 'num_step'; did you mean 'num_steps'",
    ),
    "an arm's wrong value": (
        {"arms": [{"name": "other", "task": {"num_steps": -1}}]},
        "arm other: num_steps: .*greater than or equal to 0, got -1",
    ),
    "an objective looked for the wrong way": (
        {"objective": {"metric": "knn", "mode": "min"}},
        "objective: knn is better when higher, mode min would select the worst value",
    ),
    "no VOC files": (detection(data={"name": "voc", "path": "/nowhere"}), "/nowhere"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_trained_or_measured(command_line: CommandLine, case: str) -> None:
    changes, expected = WRONG[case]
    line = command_line.train_error(**{**TINY, **changes})
    assert re.search(expected, line), line


def test_an_encoder_of_another_architecture(command_line: CommandLine) -> None:
    from ndabench.models.resnet import ResNet
    from ndabench.models.weights import export_encoder
    from ndabench.random_streams import random_stream

    file = command_line.folder / "encoder.pt"
    other = ResNet(depth=34, width=2, stem="cifar", image_channels=1, generator=random_stream(0, "x"))
    file.write_bytes(export_encoder(other))
    line = command_line.train_error(
        **{**TINY, **task(encoder={"name": "resnet", "width": 2, "weights": str(file)})}
    )
    assert f"{file} holds the weights of ResNet-34 of width 2" in line
    assert "but the encoder is ResNet-18 of width 2" in line
