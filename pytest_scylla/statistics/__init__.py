"""Figures over runs, a definition each. A run without a verdict enters none of them as 0.

`figures` and `agreement` need nothing but Python. `inference` and `comparison` are on scipy, which
the extra `stats` brings; they are imported where they are asked for, because scipy starts slowly.
"""

from __future__ import annotations

from importlib.util import find_spec

from .agreement import Scale, krippendorff_alpha
from .figures import (
    Z95,
    Unknown,
    consistency,
    cost_of_pass,
    deviation,
    implementation_rate,
    mean,
    median,
    pass_at_k,
    pass_hat_k,
    quantile,
    total,
    wilson,
)

__all__ = [
    "MISSING",
    "Z95",
    "Scale",
    "Unknown",
    "consistency",
    "cost_of_pass",
    "deviation",
    "implementation_rate",
    "krippendorff_alpha",
    "mean",
    "median",
    "pass_at_k",
    "pass_hat_k",
    "quantile",
    "scipy_is_there",
    "total",
    "wilson",
]

MISSING = "scipy is not installed\n  next: pip install 'pytest-scylla[stats]'"
"""What to say where `inference` or `comparison` is needed and cannot be imported."""


def scipy_is_there() -> bool:
    """Whether `inference` and `comparison` can be imported."""
    return find_spec("scipy") is not None
