"""A whole training step as one CUDA graph: the host launches the graph instead of some thousand kernels.

At 32×32 a step's kernels take less time than their launches. A graph records the kernels of a step with the
addresses of all tensors; a replay runs them on whatever these tensors hold then, and random generators that
are registered with it go on as they would.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

WARM_UPS = 3
"""Steps before the recording, in which libraries choose their kernels and optimisers make their state."""

Outputs = list[dict[str, Tensor]]
Step = Callable[[Sequence[Tensor]], Outputs]


class CapturedStep:
    """A step of fixed shapes that reads nothing back, with the results of the step itself, bit for bit.

    Its outputs are overwritten by the next call.
    """

    def __init__(
        self,
        step: Step,
        example: Sequence[Tensor],
        *,
        networks: Sequence[nn.Module],
        optimizers: Sequence[Optimizer],
        streams: Sequence[torch.Generator],
    ) -> None:
        """Records `step`, which takes tensors of the shapes of `example` and uses no state but that of the
        `networks`, `optimizers` and `streams`; they are afterwards what they were before."""
        self._inputs = [tensor.clone() for tensor in example]
        with state_kept(networks, optimizers, streams), _capturable(optimizers):
            self._outputs, self._replay = record(lambda: _detached(step(self._inputs)), streams)

    def __call__(self, inputs: Sequence[Tensor]) -> Outputs:
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        self._replay()
        return self._outputs


def record(
    run: Callable[[], Outputs], streams: Sequence[torch.Generator]
) -> tuple[Outputs, Callable[[], None]]:
    """The outputs of `run`, and what computes them anew."""
    aside, current = torch.cuda.Stream(), torch.cuda.current_stream()
    aside.wait_stream(current)
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            run()
    current.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    for stream in streams:
        graph.register_generator_state(stream)
    with torch.cuda.graph(graph):
        outputs = run()
    return outputs, graph.replay


def _detached(outputs: Outputs) -> Outputs:
    return [{name: value.detach() for name, value in values.items()} for values in outputs]


@contextlib.contextmanager
def _capturable(optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """PyTorch's optimisers refuse to be recorded unless they are told that they may."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    before = [group.get("capturable", False) for group in groups]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group, value in zip(groups, before, strict=True):
            group["capturable"] = value


@contextlib.contextmanager
def state_kept(
    networks: Sequence[nn.Module], optimizers: Sequence[Optimizer], streams: Sequence[torch.Generator]
) -> Iterator[None]:
    """Afterwards all have the state of before, in the same tensors, which a graph has recorded.

    What an optimiser first made in the block becomes 0, with which Adam and SGD begin.
    """
    weights = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
    before = {tensor: tensor.detach().clone() for tensor in (*weights, *_states(optimizers))}
    numbers = [stream.get_state() for stream in streams]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor in (*weights, *_states(optimizers)):
                tensor.copy_(before[tensor]) if tensor in before else tensor.zero_()
        for stream, state in zip(streams, numbers, strict=True):
            stream.set_state(state)


def _states(optimizers: Sequence[Optimizer]) -> list[Tensor]:
    return [
        value
        for optimizer in optimizers
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    ]
