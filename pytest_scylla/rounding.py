"""Decimals as people round them, everywhere alike: half up, and half away from zero below it."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal

_WIDE = Context(prec=400)
"""More digits than any float has."""


def rounded(value: float, digits: int, sign: str = "") -> str:
    """`value` with so many decimals; with `sign` "+" also where it is not negative.

    What the arithmetic of floats adds behind the twelfth digit is taken off first, so that two
    means of 0.8375 are one: 0.838. page.js rounds in the same way.
    """
    if not math.isfinite(value):
        return f"{value:{sign}f}"
    shown = Decimal(f"{value:.12g}").quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, _WIDE)
    return f"{shown if shown else abs(shown):{sign}f}"
