"""What DPC predicts from what, and that nothing of the future is in it."""

import pytest
import torch
from torch import Tensor

from ndabench.errors import UserError
from ndabench.models.dpc import Dpc, blocks_of, summed_up
from ndabench.models.resnet2d3d import ResNet2d3d


def dpc(seed: int = 0, num_steps: int = 3, dropout: float = 0.1) -> Dpc:
    generator = torch.Generator().manual_seed(seed)
    encoder = ResNet2d3d(depth=18, width=2, stem="cifar", generator=generator)
    return Dpc(encoder, num_steps=num_steps, dropout=dropout, generator=generator)


def blocks(n: int = 2, num_blocks: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, num_blocks, 3, 5, 16, 16, generator=generator) * 2 - 1


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_predictions_are_fed_back() -> None:
    network = dpc().eval()
    predictions, targets = network(blocks())
    assert predictions.shape == targets.shape == (2, 3, 8, 2, 2)
    maps = torch.stack([network.encoder(block).mean(2) for block in blocks().unbind(1)], 1)
    torch.testing.assert_close(targets, maps[:, 2:])
    assert (targets < 0).any()
    state = network.gru(maps[:, :2].relu())[:, -1]
    torch.testing.assert_close(summed_up(network.gru, maps[:, :2]), state)
    for step in range(3):
        expected = network.predictor(state)
        torch.testing.assert_close(predictions[:, step], expected)
        state = network.gru(expected.relu()[:, None], state)[:, -1]


def test_predictions_know_the_past_alone_and_targets_their_own_block_alone() -> None:
    network = dpc().eval()
    batch = blocks()
    predictions, targets = network(batch)
    batch[:, 3] = 0
    again, others = network(batch)
    assert torch.equal(again, predictions)
    changed = (others != targets).flatten(2).any(2)
    assert torch.equal(changed, torch.tensor([[False, True, False]]).expand(2, 3))
    batch[:, 1] = 0
    assert not torch.allclose(network(batch)[0], predictions)


def test_the_number_of_parameters_at_full_width() -> None:
    with torch.device("meta"):
        generator = torch.Generator("cpu")
        network = Dpc(ResNet2d3d(depth=18, generator=generator), generator=generator)
    numbers = {
        name: sum(parameter.numel() for parameter in module.parameters())
        for name, module in network.named_children()
    }
    assert numbers == {"encoder": 14_057_536, "gru": 393_984, "predictor": 131_584}


def test_training_reaches_every_weight_with_seeded_dropout_alone() -> None:
    network, same = dpc(dropout=0.5), dpc(dropout=0.5)
    state = torch.get_rng_state()
    outputs = [each(blocks(), generator=seeded(4))[0] for each in (network, same)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*outputs)
    assert not torch.equal(outputs[0], network(blocks(), generator=seeded(5))[0])
    predictions, targets = network(blocks(), generator=seeded())
    (predictions * targets).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_bfloat16_gives_float32_maps() -> None:
    network = dpc().eval()
    exact = network(blocks())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(blocks())
    for one, other in zip(exact, rounded, strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(other, one, atol=0.3, rtol=0.1)


@pytest.mark.slow
def test_a_compiled_encoder_takes_the_encoders_place() -> None:
    network = dpc().eval()
    compiled = torch.compile(network.encoder, backend="eager")
    for one, other in zip(network(blocks(), encoder=compiled), network(blocks()), strict=True):
        assert torch.equal(one, other)


def test_blocks_are_consecutive_frames() -> None:
    clips = torch.arange(12.0).view(1, 1, 12, 1, 1).expand(2, 3, 12, 2, 2)
    cut = blocks_of(clips, 4)
    assert cut.shape == (2, 4, 3, 3, 2, 2)
    assert cut[0, :, 0, :, 0, 0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    with pytest.raises(UserError, match="12 frames cannot be cut into 5 equal blocks"):
        blocks_of(clips, 5)


def test_nothing_to_predict_from_is_refused() -> None:
    with pytest.raises(UserError, match=r"clips of 3 blocks .* the last 3 .* at least 4 blocks"):
        dpc()(blocks(num_blocks=3))
