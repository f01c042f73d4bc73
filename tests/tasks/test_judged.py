"""What a task says that a step judges is what passes through its networks."""

from typing import Any

import pytest
from torch import nn

from ndabench.tasks.contrastive.dpc import DpcMethod
from ndabench.tasks.contrastive.moco import Moco
from ndabench.tasks.density_gan.task import DensityGanTask
from ndabench.tasks.paired.task import PairedGanTask
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import Trainer, build_trainer
from tests.tasks import contrastive_toys, density_toys, gan_toys, paired_toys, video_toys

NEGATIVES = {False: 0.0, True: 0.5}
"""Whether there is a negative with a weight, and λ of the contrastive tasks then."""


def seen_by(network: nn.Module) -> list[int]:
    """Fills, at every call of `network` from now on, with the length of the batch."""
    lengths: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: lengths.append(len(inputs[0])))
    return lengths


def judged_in(trainer: Trainer) -> int:
    """What a whole run of one step reports to have judged."""
    *_, last = trainer.run()
    assert last.step == 1
    assert last.num_judged is not None
    return last.num_judged


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fakes_per_real": 3},
        {"fakes_per_real": 2, "losses": "wasserstein_gp", "network": "dcgan"},
        {"consistency_weight": 10.0},
        {"reference": True},
        {"losses": "wasserstein_gp", "network": "dcgan"},
        {"losses": {"name": "wasserstein_gp", "gradient_penalty": 0}, "network": "dcgan"},
    ],
)
def test_in_a_gan_it_passes_through_the_discriminator(changes: dict[str, Any], negative: bool) -> None:
    config = {"num_steps": 1, **changes}
    trainer = gan_toys.toy_trainer(config=config, negative=gan_toys.JIGSAW, lambda_=0.25 if negative else 1.0)
    lengths = seen_by(gan_toys.gan_task(trainer).discriminator)
    assert judged_in(trainer) == sum(lengths) - trainer.config.batch_size, "the generator's step adds a batch"


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fakes_per_real": 3},
        {"gradient_penalty": 0.5},
        {"losses": "wasserstein_gp", "num_discriminator_steps": 3},
    ],
)
def test_in_a_gan_of_points_it_passes_through_the_discriminator(
    changes: dict[str, Any], negative: bool
) -> None:
    config = density_toys.toy_config(**changes)
    drawn, lambda_ = density_toys.between(0.2), 0.25 if negative else 1.0
    setup = TrialSetup(config, density_toys.toy_points(), negative=drawn, lambda_=lambda_)
    task = DensityGanTask(setup)
    lengths = seen_by(task.discriminator)
    task.training_step(next(task.batches(0)), 0)
    assert config.judged_per_step(negative=negative) == sum(lengths) - config.batch_size


@pytest.mark.parametrize("fakes_per_real", [1, 3])
@pytest.mark.parametrize("negative", [False, True])
def test_in_a_translator_it_passes_through_the_discriminator(negative: bool, fakes_per_real: int) -> None:
    trainer = build_trainer(
        TrialSetup(
            paired_toys.toy_config(num_steps=1, fakes_per_real=fakes_per_real),
            paired_toys.toy_pairs(),
            negative=paired_toys.JIGSAW,
            lambda_=0.25 if negative else 1.0,
        )
    )
    task = trainer.task
    assert isinstance(task, PairedGanTask)
    lengths = seen_by(task.discriminator)
    assert judged_in(trainer) == sum(lengths) - trainer.config.batch_size, (
        "the translator's step adds a batch"
    )


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("method", [contrastive_toys.MOCO, contrastive_toys.SYMMETRIC, "simclr"])
def test_in_contrastive_learning_it_passes_through_the_encoders(method: Any, negative: bool) -> None:
    trainer = contrastive_toys.toy_training(
        {"method": method, "num_steps": 1, "num_nda_keys": 2},
        negative=contrastive_toys.STITCH,
        lambda_=NEGATIVES[negative],
    )
    built = contrastive_toys.contrastive_task(trainer).method
    networks = [built.network, *([built.key_network] if isinstance(built, Moco) else [])]
    lengths = [seen_by(network) for network in networks]
    assert judged_in(trainer) == sum(map(sum, lengths))


@pytest.mark.parametrize("negative", [False, True])
def test_in_dpc_blocks_pass_through_the_encoder(negative: bool) -> None:
    trainer = video_toys.toy_training(
        {"num_steps": 1, "num_nda_keys": 2}, negative=video_toys.SPLICE, lambda_=NEGATIVES[negative]
    )
    method = contrastive_toys.contrastive_task(trainer).method
    assert isinstance(method, DpcMethod)
    lengths = seen_by(method.network.encoder)
    assert judged_in(trainer) == sum(lengths)
