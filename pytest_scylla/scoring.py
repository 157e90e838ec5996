"""From graded items to a score: the arithmetic is the program's, never a model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

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
    achieved = sum((_exact(i.achieved) for i in counted), Fraction())
    most = sum((_exact(i.max) for i in counted), Fraction())
    return CategoryScore(
        achieved=float(achieved),
        max=float(most),
        score=float(achieved / most) if most else "N/A",
        items=items,
        na_items=tuple(name for name, item in items.items() if item.achieved == "N/A"),
    )


def total_score(rubric: Rubric, categories: Mapping[str, CategoryScore]) -> float:
    """Weighted mean of the categories' scores, 0 to 1.

    N/A items are left out, and the weight of a category that is all N/A is shared out among the
    rest in proportion to their weights. Raises ValueError where nothing at all was applicable.
    """
    counted = [
        (_exact(rubric.categories[name].weight), _share(score))
        for name, score in categories.items()
        if score.score != "N/A" and rubric.categories[name].weight > 0
    ]
    if not counted:
        raise ValueError("every item is N/A: there is nothing to score")
    weights = sum(weight for weight, _ in counted)
    return float(sum(weight * share for weight, share in counted) / weights)


def _share(category: CategoryScore) -> Fraction:
    return _exact(category.achieved) / _exact(category.max)


def _exact(value: float | str) -> Fraction:
    """The decimal number that was written: sums of them meet a threshold exactly or not at all."""
    return Fraction(str(value))


def exact_mean(values: Sequence[float]) -> float:
    """The mean, rounded once: the mean of equal values is that value."""
    return float(sum(map(_exact, values), Fraction()) / len(values))
