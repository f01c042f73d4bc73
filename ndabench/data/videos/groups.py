"""Holding out whole groups of training videos for validation.

Clips of one scene or one film look alike. Parted between training and validation they would make validation
a test of memory; the official test lists keep groups together for the same reason.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ndabench.data.videos.source import Video
from ndabench.errors import UserError


def held_out_groups(
    videos: Sequence[Video], fraction: float, *, seed: int, class_names: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Indices `(kept, held)`, both ascending: `held` has whole groups, about `fraction` of every class.

    Groups come in an order drawn by `seed`; one is held out if that takes none of its classes farther from
    its share (of at least one video). A class that is left without any gives its smallest group. No class
    loses its last training video. `UserError` where this leaves no validation video at all.
    """
    counts = Counter(video.label for video in videos)
    share = {label: max(count * fraction, 1) for label, count in counts.items()}
    by_group: dict[str, Counter[int]] = {}
    for video in videos:
        by_group.setdefault(video.group, Counter())[video.label] += 1
    names = sorted(by_group)
    # RandomState, because numpy promises that its stream never changes: splits are part of the content hash.
    order = [names[place] for place in np.random.RandomState(seed).permutation(len(names))]
    chosen: set[str] = set()
    held: Counter[int] = Counter()

    def hold(group: str) -> None:
        chosen.add(group)
        held.update(by_group[group])

    def leaves_some(group: str) -> bool:
        return all(held[label] + more < counts[label] for label, more in by_group[group].items())

    def comes_nearer(group: str) -> bool:
        return all(
            abs(held[label] + more - share[label]) <= abs(held[label] - share[label])
            for label, more in by_group[group].items()
        )

    for group in order:
        if leaves_some(group) and comes_nearer(group):
            hold(group)
    for label in sorted(counts):
        possible = [group for group in order if label in by_group[group] and leaves_some(group)]
        if not held[label] and possible:
            hold(min(possible, key=lambda group: sum(by_group[group].values())))
    if not chosen:
        raise UserError(
            f"validation cannot be held out of {len(videos)} training videos in {len(by_group)} groups and "
            f"{len(class_names)} classes; every class needs videos of two groups"
        )
    rows: dict[bool, list[int]] = {True: [], False: []}
    for index, video in enumerate(videos):
        rows[video.group in chosen].append(index)
    return rows[False], rows[True]
