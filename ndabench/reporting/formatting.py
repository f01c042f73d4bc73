"""Numbers and times for people: as many digits as the uncertainty justifies, and real minus signs."""

import math
import re
from datetime import timedelta

from ndabench.reporting.intervals import SIGNIFICANT, Summary

NOTHING = "—"
MOST_DECIMALS = 15


def natural_order(name: str) -> list[tuple[int, str]]:
    """A key that sorts `r5` before `r10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def decimals_for(uncertainty: float | None, value: float) -> int:
    """Decimal places that show two significant digits of `uncertainty`, or four of `value` without one."""
    size, digits = (abs(value), 4) if not uncertainty else (uncertainty, 2)
    if not math.isfinite(size) or size == 0:
        return 2
    return min(max(digits - 1 - math.floor(math.log10(size)), 0), 6)


def number(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """`−1.20`; `NaN` for not-a-number, a dash for None."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    nothing_at_this_precision = abs(value) < 1e-4 and decimals < 4
    if value != 0 and not 1e-4 <= abs(value) < 1e7 and not nothing_at_this_precision:
        return f"{value:{'+' if signed else ''}.3g}".replace("-", "−")
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    if float(text) == 0:  # neither −0 nor +0
        text = text.lstrip("+-")
    return text.replace("-", "−")


def decimals_of(summary: Summary) -> int:
    """As `decimals_for`, with as many more as show on which side of 0 the interval's ends are."""
    decimals = decimals_for(summary.half_width, summary.mean)
    if not summary.half_width or not math.isfinite(summary.mean):
        return decimals
    while decimals < MOST_DECIMALS and not _keeps_sides(summary, decimals):
        decimals += 1
    return decimals


def _keeps_sides(summary: Summary, decimals: int) -> bool:
    """Whether 0 is in the interval, or is not, as well when its numbers are rounded; `a ± b` and `[c, d]`."""
    low, high, half_width = summary.low, summary.high, summary.half_width
    assert low is not None
    assert high is not None
    assert half_width is not None
    mean, half = round(summary.mean, decimals), round(half_width, decimals)
    rounded = [(round(low, decimals), round(high, decimals)), (mean - half, mean + half)]
    if low <= 0 <= high:
        return all(first <= 0 <= last for first, last in rounded)
    return all(first > 0 or last < 0 for first, last in rounded)


def with_interval(summary: Summary, *, signed: bool = False) -> str:
    """`12.3 ± 1.4`; `12.34` without an interval, a dash without a value."""
    if summary.n == 0:
        return NOTHING
    decimals = decimals_of(summary)
    mean = number(summary.mean, decimals, signed=signed)
    if summary.half_width is None:
        return mean
    return f"{mean} ± {number(summary.half_width, decimals)}"


def interval(summary: Summary) -> str:
    """`[1.2, 5.0]`; empty without an interval."""
    if summary.low is None or summary.high is None:
        return ""
    decimals = decimals_of(summary)
    return f"[{number(summary.low, decimals)}, {number(summary.high, decimals)}]"


def p_value(p: float | None) -> str:
    """`0.031`, with more digits where rounding would hide on which side of 0.05 it is; a dash for None."""
    if p is None:
        return NOTHING
    if p < 0.001 or p >= 0.1:
        return "< 0.001" if p < 0.001 else f"{p:.2f}"
    texts = (f"{p:.{digits}g}" for digits in range(2, 17))
    return next(text for text in texts if (float(text) < SIGNIFICANT) == (p < SIGNIFICANT))


def duration(seconds: float | None) -> str:
    """`3 min 20 s`; a dash if unknown."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 100:
        return f"{seconds:.3g} s"
    whole = timedelta(seconds=round(seconds))
    hours, rest = divmod(int(whole.total_seconds()), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"


def count(number_of: int, what: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number_of} {what}" if number_of == 1 else f"{number_of} {what}s"


def mebibytes(size: float) -> str:
    """`1,234.5 MiB` of a size in bytes."""
    return f"{size / 2**20:,.1f} MiB"
