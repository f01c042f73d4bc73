"""States compared with tolerance."""

from typing import Any

import torch
from torch import Tensor

from tests.tasks.gan_toys import leaves


def assert_close(left: Any, right: Any, tolerance: float) -> None:
    one, other = leaves(left), leaves(right)
    assert one.keys() == other.keys()
    for path, value in one.items():
        if isinstance(value, Tensor | float):
            torch.testing.assert_close(
                torch.as_tensor(value), torch.as_tensor(other[path]), atol=tolerance, rtol=tolerance, msg=path
            )
        else:
            assert value == other[path], path
