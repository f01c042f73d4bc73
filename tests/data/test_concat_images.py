from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ndabench.data.images import ConcatImages


class ReadingAhead:
    """Numbers for images; takes three index batches before it gives out the first, and no empty ones."""

    def __init__(self, first: int, count: int) -> None:
        self.images = torch.arange(first, first + count)
        self.labels = self.images % 3

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        waiting = []
        for index in index_batches:
            assert len(index)
            waiting.append((self.images[index], self.labels[index]))
            if len(waiting) == 3:
                yield waiting.pop(0)
        yield from waiting


def test_rows_of_both_come_in_the_order_asked_for() -> None:
    joined = ConcatImages(ReadingAhead(0, 5), ReadingAhead(5, 4))
    asked = [[8, 0, 5, 4], [1, 2], [7], [6, 3, 6], [0, 8], [4]]
    given = list(joined.batches(map(torch.tensor, asked)))
    assert len(joined) == 9
    assert joined.labels.tolist() == [i % 3 for i in range(9)]
    assert [images.tolist() for images, _ in given] == asked
    assert [labels.tolist() for _, labels in given] == [[i % 3 for i in batch] for batch in asked]
