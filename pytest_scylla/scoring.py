"""From graded items to a score: the arithmetic is the program's, never a model's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from .results import CategoryScore, ItemScore
from .rubric import Item, Rubric


def score_categories(rubric: Rubric, items: Mapping[str, ItemScore]) -> dict[str, CategoryScore]:
    """The score of every category of `rubric` from the scores of its items.

    Raises ValueError for an item that is missing, unknown, outside 0 to its points, or partly met
    though it is binary.
    """
    unknown = items.keys() - {item.id for item in rubric.items()}
    if unknown:
        raise ValueError(f"items that the rubric does not have: {', '.join(sorted(unknown))}")
    scores = {}
    for name, category in rubric.categories.items():
        graded = {item.id: _checked(item, items.get(item.id)) for item in category.items}
        scores[name] = _category(graded)
    return scores


def _checked(item: Item, score: ItemScore | None) -> ItemScore:
    if score is None:
        raise ValueError(f"item {item.id} was not graded")
    got, points = score.achieved, item.points
    if got == "N/A":
        return ItemScore(achieved="N/A", max="N/A", reason=score.reason)
    if not 0 <= got <= points:
        raise ValueError(f"item {item.id} got {got:g}, outside 0 to {points:g}")
    if item.evaluation == "binary" and got not in (0, points):
        raise ValueError(f"item {item.id} got {got:g}, and is worth 0 or {points:g}: it is binary")
    return ItemScore(achieved=got, max=points, reason=score.reason)


def _category(items: dict[str, ItemScore]) -> CategoryScore:
    achieved, most = _sums(items)
    return CategoryScore(
        achieved=float(achieved),
        max=float(most),
        score=float(achieved / most) if most else "N/A",
        items=items,
        na_items=tuple(name for name, item in items.items() if item.achieved == "N/A"),
    )


def _sums(items: Mapping[str, ItemScore]) -> tuple[Fraction, Fraction]:
    """Achieved and possible points of what applies."""
    counted = [i for i in items.values() if i.achieved != "N/A"]
    achieved = sum((_exact(i.achieved) for i in counted), Fraction())
    return achieved, sum((_exact(i.max) for i in counted), Fraction())


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


def item_weights(rubric: Rubric, left_out: Collection[str] = ()) -> dict[str, float]:
    """The share of the score that each item decides, without those that are N/A; together 1."""
    counted = {
        name: items
        for name, category in rubric.categories.items()
        if category.weight > 0
        and (items := [item for item in category.items if item.id not in left_out])
    }
    weights = sum((_exact(rubric.categories[name].weight) for name in counted), Fraction())
    found: dict[str, float] = {}
    for name, items in counted.items():
        share = _exact(rubric.categories[name].weight) / weights
        points = sum((_exact(item.points) for item in items), Fraction())
        found |= {item.id: float(_exact(item.points) / points * share) for item in items}
    return found


def shares(rubric: Rubric, judges: Sequence[tuple[str, bool]]) -> list[str]:
    """Lines: who decides which share of a score. `judges`: name, and whether it only repeats what
    commands decide."""
    weights = item_weights(rubric)
    items = [item for item in rubric.items() if item.id in weights]
    by_commands = [f"{i.id} {weights[i.id]:.3f}" for i in items if i.run is not None]
    by_judges = [f"{i.id} {weights[i.id]:.3f}" for i in items if i.run is None]
    grading = [f"{n} ({name})" for n, (name, repeats) in enumerate(judges, 1) if not repeats]
    repeating = [f"{n} ({name})" for n, (name, repeats) in enumerate(judges, 1) if repeats]
    lines = [f"decided by commands, for all judges: {', '.join(by_commands)}"] * bool(by_commands)
    if by_judges and grading:
        lines.append(f"graded by judge {', '.join(grading)}: {', '.join(by_judges)}")
        if repeating:
            lines.append(f"without a vote of its own: judge {', '.join(repeating)}")
    return lines


def score_of_items(rubric: Rubric, categories: Mapping[str, CategoryScore]) -> float:
    """The score that the items of graded categories come to, whatever sums were made of them.

    Raises ValueError for items that do not fit the rubric.
    """
    items = {
        name: item for category in categories.values() for name, item in category.items.items()
    }
    return total_score(rubric, score_categories(rubric, items))


def _share(category: CategoryScore) -> Fraction:
    achieved, most = _sums(category.items)
    return achieved / most


def _exact(value: float | str) -> Fraction:
    """The decimal number that was written: sums of them meet a threshold exactly or not at all."""
    return Fraction(str(value))


def exact_mean(values: Sequence[float]) -> float:
    """The mean, rounded once: the mean of equal values is that value."""
    return float(sum(map(_exact, values), Fraction()) / len(values))


def distance(one: float, other: float) -> float:
    """How far two scores lie apart, rounded once: 0.7 and 0.5 are 0.2 apart."""
    return float(abs(_exact(one) - _exact(other)))
