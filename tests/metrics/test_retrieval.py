"""Retrieval against a loop over videos."""

import math

import pytest
import torch
import torch.nn.functional as F

from ndabench.data.images import to_float
from ndabench.data.registry import load_data
from ndabench.data.videos.clip_sampling import ClipSampling
from ndabench.data.videos.clips import spread_windows
from ndabench.data.videos.feeding import ResidentClips
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.clip_encoders.knn import video_knn_accuracy
from ndabench.metrics.clip_encoders.retrieval import recalls
from ndabench.metrics.clip_encoders.windows import (
    Windows,
    concat_windows,
    cropped,
    window_values,
    windows_of_videos,
)
from tests.metrics.recognising import CPU, SAMPLING, digits
from tests.metrics.toy_features import ToyFeatures


def some_windows(num_videos: int, seed: int) -> Windows:
    generator = torch.Generator().manual_seed(seed)
    videos = torch.arange(num_videos).repeat_interleave(torch.arange(num_videos) % 3 + 1)
    values = torch.randn(len(videos), 6, generator=generator)
    return Windows(values, videos, torch.randint(4, (num_videos,), generator=generator))


def test_recalls_are_those_of_a_loop() -> None:
    queries, gallery = some_windows(30, 0), some_windows(40, 1)
    hits = {1: 0, 5: 0, 10: 0}
    for query in range(30):
        own = queries.values[queries.videos == query].mean(0)
        others = [gallery.values[gallery.videos == video].mean(0) for video in range(40)]
        similar = [float(F.cosine_similarity(own, other, dim=0)) for other in others]
        order = sorted(range(40), key=lambda video: -similar[video])
        for rank in hits:
            hits[rank] += any(gallery.labels[video] == queries.labels[query] for video in order[:rank])
    assert recalls(queries, gallery) == [100 * count / 30 for count in hits.values()]
    assert 0 < hits[1] < hits[5] < hits[10]


def test_a_gallery_smaller_than_the_rank_counts_whole() -> None:
    queries, gallery = some_windows(10, 0), some_windows(3, 1)
    assert recalls(queries, gallery)[1] == recalls(queries, gallery)[2]


def test_the_nearest_videos_vote_by_their_weights() -> None:
    queries, bank = some_windows(30, 0), some_windows(40, 1)
    right = 0
    for query in range(30):
        own = queries.values[queries.videos == query].mean(0)
        votes = [0.0] * 4
        others = [bank.values[bank.videos == video].mean(0) for video in range(40)]
        similar = [float(F.cosine_similarity(own, other, dim=0)) for other in others]
        for video in sorted(range(40), key=lambda video: -similar[video])[:7]:
            votes[int(bank.labels[video])] += math.exp(similar[video] / 0.1)
        right += votes.index(max(votes)) == queries.labels[query]
    found = video_knn_accuracy(queries, bank, num_classes=4, neighbours=7, temperature=0.1)
    assert found == pytest.approx(100 * right / 30)
    assert 0 < right < 30


def test_ten_windows_are_spread_evenly_as_far_as_they_differ() -> None:
    firsts = [window.first for window in spread_windows(3, 30, 6, 2, 10)]  # 11 of 30 frames each
    assert firsts == [0, 2, 4, 6, 8, 11, 13, 15, 17, 19]
    assert [window.first for window in spread_windows(3, 14, 6, 2, 10)] == [0, 1, 2, 3]
    assert [window.first for window in spread_windows(3, 5, 6, 2, 10)] == [0]


def test_crops_are_the_centre_the_corners_and_their_mirror_images() -> None:
    clips = torch.arange(2 * 6 * 6).view(1, 1, 2, 6, 6)
    assert [crop.shape for crop in cropped(clips, 4, "ten")] == [(1, 1, 2, 4, 4)] * 10
    corners = [crop[0, 0, 0].tolist() for crop in cropped(clips, 4, "five")]
    assert [corner[0][0] for corner in corners] == [7, 0, 2, 12, 14]
    assert [crop[0, 0, 0].tolist() for crop in cropped(clips, 4, "ten")[5:]] == [
        [row[::-1] for row in corner] for corner in corners
    ]
    assert len(cropped(clips, 4, "centre")) == 1


def test_a_video_is_the_mean_over_its_windows_and_crops() -> None:
    data, network = load_data(digits(), device=CPU), ToyFeatures().eval()
    sampling = ClipSampling(6, 2, 12, "ten", "five")
    found = window_values(network, data.validation, sampling, Workers())
    windows = spread_windows(0, data.validation.num_frames[0], 6, 2, 10)
    [(clips, _)] = data.validation.clips([windows])
    values = torch.stack([network(to_float(crop)) for crop in cropped(clips, 12, "five")])
    torch.testing.assert_close(found.means()[0].float(), values.mean((0, 1)).detach())
    assert len(found.values) == 5 * len(windows_of_videos(data.validation, sampling))
    assert sampling.protocol(data)["windows"] == "10, spread evenly"
    with pytest.raises(UserError, match="crops: five needs frames larger than what the encoder sees"):
        ClipSampling(6, 2, None, "half", "five").check(data)


def test_every_video_is_seen_whole() -> None:
    """The windows' values are those of clips cut by hand, the last one ending with its video."""
    data, network = load_data(digits(), device=CPU), ToyFeatures()
    split = data.validation
    assert isinstance(split, ResidentClips)
    found = window_values(network, data.validation, SAMPLING, Workers())
    # Windows of 6 frames at stride 2 cover 11 of 20 frames; by half of one, the next starts 6 later.
    assert found.videos.tolist() == [video for video in range(len(data.validation)) for _ in range(3)]
    firsts = [0, 6, 9]
    network.eval()
    for row in (0, 1, 2, 10):
        video, first = divmod(row, 3)
        frames = [firsts[first] + 2 * step for step in range(6)]
        whole = split._planes[split._starts[video] :]
        clip = to_float(whole[frames][None, None].repeat(1, 3, 1, 1, 1))
        torch.testing.assert_close(found.values[row], network(clip)[0].detach())
    twice = concat_windows([found, found])
    assert torch.equal(twice.videos[len(found.videos) :], found.videos + len(data.validation))
    torch.testing.assert_close(twice.means()[len(found.labels) :], found.means())
