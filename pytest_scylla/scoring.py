"""From graded items to a score: the arithmetic is the program's, never a model's."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .results import CategoryScore, ItemScore
from .rubric import Rubric


def score_categories(rubric: Rubric, items: Mapping[str, ItemScore]) -> dict[str, CategoryScore]:
    """The score of every category of `rubric` from the scores of its items.

    Raises ValueError for an item that is missing, unknown, or outside 0 to its points.
    """
    unknown = items.keys() - {item.id for item in rubric.items()}
    if unknown:
        raise ValueError(f"items that the rubric does not have: {', '.join(sorted(unknown))}")
    scores = {}
    for name, category in rubric.categories.items():
        graded = {i.id: _checked(i.id, i.points, items.get(i.id)) for i in category.items}
        scores[name] = _category(graded)
    return scores


def _checked(name: str, points: float, score: ItemScore | None) -> ItemScore:
    if score is None:
        raise ValueError(f"item {name} was not graded")
    if score.achieved == "N/A":
        return ItemScore(achieved="N/A", max="N/A", reason=score.reason)
    if not 0 <= score.achieved <= points:
        raise ValueError(f"item {name} got {score.achieved:g}, outside 0 to {points:g}")
    return ItemScore(achieved=score.achieved, max=points, reason=score.reason)


def _category(items: dict[str, ItemScore]) -> CategoryScore:
    counted = [i for i in items.values() if i.achieved != "N/A"]
    achieved = math.fsum(float(i.achieved) for i in counted)
    most = math.fsum(float(i.max) for i in counted)
    return CategoryScore(
        achieved=achieved,
        max=most,
        score=achieved / most if most else "N/A",
        items=items,
        na_items=tuple(name for name, item in items.items() if item.achieved == "N/A"),
    )


def total_score(rubric: Rubric, categories: Mapping[str, CategoryScore]) -> float:
    """Weighted mean of the categories' scores, 0 to 1.

    N/A items are left out, and the weight of a category that is all N/A is shared out among the
    rest in proportion to their weights. Raises ValueError where nothing at all was applicable.
    """
    counted = [
        (rubric.categories[name].weight, float(score.score))
        for name, score in categories.items()
        if score.score != "N/A" and rubric.categories[name].weight > 0
    ]
    if not counted:
        raise ValueError("every item is N/A: there is nothing to score")
    weights = math.fsum(weight for weight, _ in counted)
    return min(1.0, math.fsum(weight * score for weight, score in counted) / weights)
