"""Figures over runs, a definition each. A run without a verdict enters none of them as 0.

`figures` and `agreement` need nothing but Python. `inference`, `contrast` and `comparison` use
numpy and scipy, which start slowly: they are imported where there is something to compute.
"""

from __future__ import annotations

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
    "total",
    "wilson",
]
