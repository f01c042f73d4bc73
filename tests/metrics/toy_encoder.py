"""An encoder that has everything an evaluation could disturb."""

import torch
from torch import Tensor, nn


class ToyEncoder(nn.Module):
    """Means over four bands of rows, mixed; batch norm in training mode beside dropout in eval mode."""

    def __init__(self, dimension: int = 12, channels: int = 3) -> None:
        super().__init__()
        self.dimension = dimension
        generator = torch.Generator().manual_seed(0)
        with torch.device("meta"):
            self.mix = nn.Linear(4 * channels, dimension)
            self.norm = nn.BatchNorm1d(dimension)
        self.to_empty(device="cpu")
        self.mix.weight.data.normal_(generator=generator)
        self.mix.bias.data.zero_()
        self.norm.reset_parameters()
        assert self.norm.running_mean is not None
        self.norm.running_mean.uniform_(-0.1, 0.1, generator=generator)
        self.dropout = nn.Dropout(0.5)
        self.train()
        self.dropout.eval()

    def forward(self, images: Tensor) -> Tensor:
        bands = images.unflatten(2, (4, -1)).mean((3, 4)).flatten(1)
        return self.dropout(self.norm(self.mix(bands)))


def snapshot(encoder: nn.Module) -> tuple[dict[str, Tensor], dict[str, bool], dict[str, bool]]:
    """State, modes and gradient flags."""
    state = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    modes = {name: module.training for name, module in encoder.named_modules()}
    return state, modes, {name: p.requires_grad for name, p in encoder.named_parameters()}


def assert_untouched(encoder: nn.Module, before: tuple[dict[str, Tensor], dict, dict]) -> None:
    state, modes, flags = snapshot(encoder)
    assert (modes, flags) == before[1:]
    assert state.keys() == before[0].keys()
    assert all(torch.equal(state[name], before[0][name]) for name in state)
    assert all(p.grad is None for p in encoder.parameters())
