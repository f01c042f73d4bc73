import pytest
import torch

from ndabench.data.images import to_float
from ndabench.distributed import Workers
from ndabench.metrics import features
from ndabench.metrics.features import backbone_features, frozen, own_rows
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from tests.metrics.striped import images_of, striped_data
from tests.metrics.toy_encoder import ToyEncoder, assert_untouched, snapshot


def test_features_are_those_of_the_encoder_in_eval_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "BATCH_SIZE", 64)  # 90 images: the last batch is smaller
    encoder, split = ToyEncoder(), striped_data().validation
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = backbone_features(encoder, split, Workers())
    expected = ToyEncoder().eval()(to_float(images_of(split)))
    assert found.dtype == torch.float32
    assert not found.requires_grad
    torch.testing.assert_close(found, expected.detach())


def test_the_encoder_is_left_as_it_was() -> None:
    encoder = ToyEncoder()
    before = snapshot(encoder)
    backbone_features(encoder, striped_data().validation, Workers())
    assert_untouched(encoder, before)
    with pytest.raises(KeyError), frozen(encoder):
        raise KeyError
    assert_untouched(encoder, before)


@pytest.mark.parametrize(("count", "world_size"), [(10, 1), (10, 2), (10, 3), (2, 4)])
def test_workers_slices_make_up_the_rows(count: int, world_size: int) -> None:
    slices = [own_rows(count, Workers(rank, world_size)) for rank in range(world_size)]
    assert len({len(rows) for rows in slices}) == 1
    assert torch.cat(slices)[:count].tolist() == list(range(count))
    assert int(torch.cat(slices).max()) == count - 1


def test_examples_of_several_splits_are_concatenated() -> None:
    data, workers = striped_data(), Workers()
    subject = ImageEncoderSubject(ToyEncoder(), data, seed=0, workers=workers)
    features, labels = subject.examples("test", "train")
    assert len(features) == 200 + 300
    assert torch.equal(features[:200], backbone_features(ToyEncoder(), data.test, workers))
    assert torch.equal(features[200:], backbone_features(ToyEncoder(), data.train, workers))
    assert torch.equal(labels, torch.cat([data.test.labels, data.train.labels]))
