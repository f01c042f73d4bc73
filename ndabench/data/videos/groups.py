"""Holding out whole groups of training videos for validation, or for testing where no list says which.

Clips of one scene or one film look similar. If training and validation shared a scene, validation would test
memory; the official test lists keep groups together for the same reason.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ndabench.data.config import SplitName
from ndabench.data.videos.source import Video
from ndabench.errors import UserError


def held_out_groups(
    videos: Sequence[Video],
    fraction: float,
    *,
    seed: int,
    class_names: Sequence[str],
    split: SplitName = "validation",
) -> tuple[list[int], list[int]]:
    """Indices `(kept, held)`, both ascending: `held` has whole groups, about `fraction` of every class.

    Groups are considered in an order drawn by `seed`; a group is held out unless that takes one of its
    classes farther from its share (of at least one video). A class without a video of the `split` then gives
    its smallest group. No class loses its last training video. Raises `UserError` where no video results.
    """
    groups = _in_drawn_order(videos, seed)
    chosen = _chosen(groups, fraction)
    if not chosen:
        raise UserError(
            f"videos for {split} cannot be held out of {len(videos)} training videos in {len(groups)} groups "
            f"and {len(class_names)} classes; every class needs videos of two groups"
        )
    rows: dict[bool, list[int]] = {True: [], False: []}
    for index, video in enumerate(videos):
        rows[video.group in chosen].append(index)
    return rows[False], rows[True]


def _in_drawn_order(videos: Sequence[Video], seed: int) -> dict[str, Counter[int]]:
    """How many videos of each class each group has, the groups in drawn order."""
    groups: dict[str, Counter[int]] = {}
    for video in videos:
        groups.setdefault(video.group, Counter())[video.label] += 1
    names = sorted(groups)
    # RandomState, because numpy promises that its stream never changes: splits are part of the content hash.
    return {
        names[place]: groups[names[place]] for place in np.random.RandomState(seed).permutation(len(names))
    }


def _chosen(groups: Mapping[str, Counter[int]], fraction: float) -> set[str]:
    """The groups that are held out; see `held_out_groups`."""
    counts: Counter[int] = Counter()
    for labels in groups.values():
        counts.update(labels)
    share = {label: max(count * fraction, 1) for label, count in counts.items()}
    chosen: set[str] = set()
    held: Counter[int] = Counter()

    def hold(group: str) -> None:
        chosen.add(group)
        held.update(groups[group])

    def leaves_some(group: str) -> bool:
        return all(held[label] + more < counts[label] for label, more in groups[group].items())

    def comes_nearer(group: str) -> bool:
        return all(
            abs(held[label] + more - share[label]) <= abs(held[label] - share[label])
            for label, more in groups[group].items()
        )

    for group in groups:
        if leaves_some(group) and comes_nearer(group):
            hold(group)
    for label in sorted(counts):
        possible = [group for group, labels in groups.items() if label in labels and leaves_some(group)]
        if not held[label] and possible:
            hold(min(possible, key=lambda group: groups[group].total()))
    return chosen
