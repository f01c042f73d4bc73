"""Numbers and times for people: as many digits as the uncertainty justifies, and real minus signs."""

import math
import re
from datetime import timedelta

from ndabench.reporting.intervals import Summary

NOTHING = "—"


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
    return text.replace("-", "−")


def with_interval(summary: Summary, *, signed: bool = False) -> str:
    """`12.3 ± 1.4`; `12.34` without an interval, a dash without a value."""
    if summary.n == 0:
        return NOTHING
    decimals = decimals_for(summary.half_width, summary.mean)
    mean = number(summary.mean, decimals, signed=signed)
    if summary.half_width is None:
        return mean
    return f"{mean} ± {number(summary.half_width, decimals)}"


def interval(summary: Summary) -> str:
    """`[1.2, 5.0]`; empty without an interval."""
    if summary.low is None or summary.high is None:
        return ""
    decimals = decimals_for(summary.half_width, summary.mean)
    return f"[{number(summary.low, decimals)}, {number(summary.high, decimals)}]"


def p_value(p: float | None) -> str:
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


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
