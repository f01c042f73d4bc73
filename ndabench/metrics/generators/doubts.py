"""What makes the measure of a set of features impossible, or its value doubtful."""

from torch import Tensor

from ndabench.errors import UserError


def require_finite(features: Tensor, images: str) -> None:
    """`UserError` where any of the features `[n, d]` is NaN or infinite."""
    broken = sum(int((~part.isfinite()).any(1).sum()) for part in features.split(4096))
    if broken:
        raise UserError(f"{broken} of {len(features)} {images} have features that are not finite")


def collapsed(metric: str, count: int) -> str:
    """The note on a generator that draws one image."""
    return f"{metric}: all {count} generated images have equal features"


def too_few(metric: str, count: int, images: str, dimension: int) -> list[str]:
    """A note where a covariance of `count` features `[dimension]` has no full rank: such distances are biased
    upwards, by an amount that depends on the number of images."""
    if count >= dimension:
        return []
    return [
        f"{metric}: {count} {images} are fewer than the {dimension} dimensions of their features; compare it "
        "only with values of as many images"
    ]
