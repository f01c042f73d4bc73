"""The pixel difference of translations, and the splits that an evaluation of a translator looks at."""

from ndabench.measurement import MeasuredSplit, Measurement
from ndabench.metrics.results import Evaluated, by_name
from ndabench.metrics.translators.config import L1Config
from ndabench.metrics.translators.subject import TranslatorSubject


def measured_splits(test: bool) -> tuple[MeasuredSplit, ...]:
    return ("validation", "test") if test else ("validation",)


def measure_l1(config: L1Config, subject: TranslatorSubject, *, test: bool) -> Evaluated:
    """E|G(A) − B| over all pixels and channels, in [0, 1], as `val_l1` and, with `test`, `l1`."""
    measurements = []
    for split in measured_splits(test):
        start = subject.shared.clock()
        _, targets, translations = subject.pairs(split)
        value = (translations.double() - targets.double()).abs().mean().item() / 255
        measurements.append(
            Measurement(
                value,
                better=config.better,
                protocol={**pairs_protocol(subject, split), "pixels": "uint8, divided by 255"},
                seconds=subject.shared.clock() - start,
                kind="metric",
                metric="l1",
                split=split,
            )
        )
    return Evaluated(by_name(measurements))


def pairs_protocol(subject: TranslatorSubject, split: MeasuredSplit) -> dict[str, object]:
    """What every measurement of translations says about the pairs."""
    return {
        "data": subject.data.name,
        "data_hash": subject.data.content_hash,
        "split": split,
        "pairs": len(getattr(subject.data, split)),
        "size": subject.data.image_shape[-1],
        "dropout": "on",
    }
