"""What is DPC's own in a training on clips: its loss, and what a negative is to it."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ndabench.augmentations.registry import implementations
from ndabench.errors import UserError
from ndabench.tasks.contrastive.dpc import DpcInputs, DpcMethod
from tests.tasks.contrastive_toys import contrastive_task, inputs_of
from tests.tasks.gan_toys import differences
from tests.tasks.video_toys import DPC, SPLICE, toy_settings, toy_training

CLIP_NEGATIVES = implementations("clips")


@pytest.mark.parametrize("scope", ["clip", "batch"])
def test_the_loss_of_dpc_is_that_of_a_loop_over_clips_steps_and_locations(scope: str) -> None:
    weight, scale = 0.7, 1.3
    method = {**DPC, "nda_scope": scope, "dropout": 0.0}
    config = {"method": method, "num_nda_keys": 2, "nda_scale": scale, "batch_size": 4}
    trainer = toy_training(config, size=32, negative=SPLICE, lambda_=weight)
    inputs, dpc = inputs_of(trainer), contrastive_task(trainer).method
    assert isinstance(dpc, DpcMethod)
    network = dpc.network
    loss = float(dpc.loss(inputs)["loss"].detach())

    def maps(clips: Tensor, blocks: int) -> Tensor:  # [N, blocks, D, h, w], block by block
        length = clips.shape[2] // blocks
        cut = [clips[n : n + 1, :, b * length : (b + 1) * length] for n in range(4) for b in range(blocks)]
        return maps_of(torch.cat(cut), blocks)

    def maps_of(blocks: Tensor, per_clip: int) -> Tensor:
        return network.encoder(blocks).mean(2).view(4, per_clip, -1, 4, 4)

    with torch.no_grad():
        future = maps(inputs.clips, 4)
        predicted = network.predict(future[:, :2])
        nda = torch.cat([maps_of(one.flatten(0, 1), 2) for one in inputs.nda], 1)
    losses = []
    places = [(y, x) for y in range(4) for x in range(4)]
    for n in range(4):
        for step in range(2):
            for y, x in places:
                p = predicted[n, step, :, y, x]
                total = sum(
                    math.exp(float(p @ future[m, 2 + s, :, v, u]))
                    for m in range(4)
                    for s in range(2)
                    for v, u in places
                )
                for m in range(4) if scope == "batch" else (n,):
                    for k in range(4):
                        for v, u in places:
                            total += weight * math.exp(scale * float(p @ nda[m, k, :, v, u]))
                losses.append(math.log(total) - float(p @ future[n, 2 + step, :, y, x]))
    assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_a_negative_of_dpc_sees_each_block_to_be_predicted_by_itself() -> None:
    seen = []

    def negate(clips: Tensor, *, generator: torch.Generator) -> Tensor:
        seen.append(clips)
        return -clips

    inputs: DpcInputs = inputs_of(toy_training({"num_nda_keys": 2}, negative=negate, lambda_=1.0))
    blocks = [inputs.clips[:, :, 4:6], inputs.clips[:, :, 6:8]]
    assert all(torch.equal(*pair) for pair in zip(seen, blocks * 2, strict=True))
    assert all(torch.equal(nda, -torch.stack(blocks, 1)) for nda in inputs.nda)
    assert toy_settings().shown_shape((3, 16, 16)) == (3, 2, 16, 16)
    assert toy_settings(method="simclr", views={"size": 12}).shown_shape((3, 16, 16)) == (3, 8, 12, 12)


@pytest.mark.parametrize("name", CLIP_NEGATIVES)
def test_no_negative_of_dpc_is_a_target(name: str) -> None:
    """Blocks are encoded one by one: moved to another place, a block would be the target of another step."""
    if name == "shuffle_blocks":
        with pytest.raises(UserError, match="clips of 4 frames are not two or more blocks of 5 frames"):
            inputs_of(toy_training({"clip_frames": 16}, negative=CLIP_NEGATIVES[name], lambda_=1.0))
        return
    trainer = toy_training({"clip_frames": 16, "batch_size": 24}, negative=CLIP_NEGATIVES[name], lambda_=1.0)
    noise = torch.randint(0, 256, (24, 3, 16, 16, 16), dtype=torch.uint8, generator=torch.Generator())
    inputs = contrastive_task(trainer).method.inputs(noise)
    targets = inputs.clips.unflatten(2, (4, 4)).transpose(1, 2)[:, 2:].flatten(0, 1)
    negatives = inputs.nda[0].flatten(0, 1)
    equal = (negatives[:, None] == targets).flatten(2).all(2)
    assert not equal.any()


def test_nda_keys_of_dpc_move_no_moments_and_are_trained_only_where_asked() -> None:
    def gradients(**changes: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        trainer = toy_training({"method": {**DPC, **changes}}, negative=SPLICE, lambda_=1.0)
        dpc = contrastive_task(trainer).method
        assert isinstance(dpc, DpcMethod)
        dpc.loss(inputs_of(trainer))["loss"].backward()
        network = dpc.network
        return {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}, {
            n: b.clone() for n, b in network.named_buffers()
        }

    trained, moments = gradients()
    fixed, same_moments = gradients(nda_gradient=False)
    assert differences(moments, same_moments) == []
    assert "/encoder.conv1.weight" in differences(trained, fixed)
    plain = toy_training()
    dpc = contrastive_task(plain).method
    assert isinstance(dpc, DpcMethod)
    dpc.loss(inputs_of(plain))
    assert differences(dict(dpc.network.named_buffers()), moments) == []
