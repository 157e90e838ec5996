"""Whether the session still goes on: what its end has cut off is no result."""

from __future__ import annotations

from ..evaluation import Run
from ..tenancy import is_over


def heed_the_end(run: Run) -> None:
    """Raise KeyboardInterrupt where the session has been stopped, or its process has died.

    Whatever ended an agent or a judge then was not its own doing. A worker may be the last to hear.
    """
    evaluation = run.evaluation
    if evaluation.owner is not None and is_over(evaluation.results, evaluation.owner):
        raise KeyboardInterrupt
