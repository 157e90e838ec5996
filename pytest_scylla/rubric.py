"""The rubric of a task: what is graded, what it is worth, and when a run passes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from .errors import InputError
from .yamlfile import Shared, accept_unknown, parse, read_mapping

DEFAULT_GRADES = {"S": 1.0, "A": 0.8, "B": 0.6, "C": 0.4, "D": 0.2, "F": 0.0}


class Item(Shared):
    """One thing to grade in a category (rubric form A)."""

    id: str
    """Name of the item, unique in the rubric."""
    check: str
    """What must be true, in words."""
    points: float = Field(gt=0, allow_inf_nan=False)
    """What the item is worth at most."""
    na_condition: str | None = None
    """When the item does not apply."""
    run: str | None = Field(default=None, min_length=1)
    """A shell command that decides by its exit status (0 = met), with no model."""
    criteria: tuple[str, ...] = ()
    """Further things to look at."""
    evaluation: Literal["binary", "scaled"] = "scaled"
    """Whether a judge may give part of the points."""


class Category(Shared):
    """A group of items with a weight (rubric form A)."""

    weight: float = Field(ge=0, allow_inf_nan=False)
    scoring_type: Literal["checklist", "subjective"] = "checklist"
    items: tuple[Item, ...] = Field(min_length=1)


class Requirement(Shared):
    """One requirement (rubric form B)."""

    id: str
    description: str
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    evaluation: Literal["binary", "scaled"] = "binary"
    criteria: tuple[str, ...] = ()
    run: str | None = Field(default=None, min_length=1)
    skill_source: str | None = None
    skill_validation: str | None = None


class Grading(Shared):
    """From a score to a verdict and a grade."""

    pass_threshold: float = Field(default=0.6, ge=0, le=1)
    grade_scale: dict[str, float] = Field(default_factory=lambda: dict(DEFAULT_GRADES))

    @field_validator("grade_scale")
    @classmethod
    def _in_range(cls, scale: dict[str, float]) -> dict[str, float]:
        if not scale or any(not 0 <= value <= 1 for value in scale.values()):
            raise ValueError("each grade needs a lower bound between 0 and 1")
        return scale


class _RubricFile(Shared):
    categories: dict[str, Category] | None = None
    requirements: tuple[Requirement, ...] | None = None
    grading: Grading = Grading()


class Rubric(Shared):
    """A rubric in one form, whichever of the two forms the file had."""

    categories: dict[str, Category]
    grading: Grading
    source: dict[str, Any]
    """The file as it was written; its digest tells a changed rubric."""
    warnings: tuple[str, ...] = ()

    @property
    def pass_threshold(self) -> float:
        """The least score with which a run passes, 0 to 1."""
        return self.grading.pass_threshold

    def items(self) -> list[Item]:
        """All items, in the order of the file."""
        return [item for category in self.categories.values() for item in category.items]

    def grade(self, score: float) -> str:
        """The letter for a score: the highest grade whose bound the score reaches."""
        scale = sorted(self.grading.grade_scale.items(), key=lambda pair: -pair[1])
        return next((name for name, bound in scale if score >= bound), scale[-1][0])


def load_rubric(path: Path) -> Rubric:
    """Read a rubric of form A (`categories`) or form B (`requirements`).

    Raises InputError with file, key and next step.
    """
    raw = read_mapping(path)
    file = parse(path, _RubricFile, raw)
    if file.categories and file.requirements:
        raise InputError(
            path, "requirements", "there are categories too", "keep one of the two forms"
        )
    if file.categories:
        categories = file.categories
    elif file.requirements:
        categories = {"requirements": _as_category(file.requirements)}
    else:
        raise InputError(
            path, "categories", "the rubric grades nothing", "add `categories` or `requirements`"
        )
    _check(path, categories)
    return Rubric(
        categories=categories,
        grading=file.grading,
        source=raw,
        warnings=tuple(_warnings(path, raw, file)),
    )


def _as_category(requirements: tuple[Requirement, ...]) -> Category:
    """Form B as one category: a requirement's weight is what it is worth in points."""
    items = tuple(
        Item(
            id=r.id,
            check=r.description,
            points=r.weight,
            run=r.run,
            criteria=r.criteria,
            evaluation=r.evaluation,
        )
        for r in requirements
    )
    return Category(weight=1.0, items=items)


def _check(path: Path, categories: dict[str, Category]) -> None:
    seen: set[str] = set()
    for name, category in categories.items():
        for item in category.items:
            if item.id in seen:
                step = "give every item an id of its own"
                raise InputError(path, f"categories.{name}", f"item id {item.id!r} twice", step)
            seen.add(item.id)
    if not any(category.weight > 0 for category in categories.values()):
        raise InputError(path, "categories", "all weights are 0", "give a category a weight")


def _warnings(path: Path, raw: dict[str, Any], file: _RubricFile) -> list[str]:
    found = accept_unknown(path, _RubricFile, raw)
    if file.categories:
        total = math.fsum(category.weight for category in file.categories.values())
        if abs(total - 1) > 1e-6:
            found.append(
                f"{path}: categories: the weights add up to {total:g}, not 1; "
                "they are used in proportion (next: make them add up to 1)"
            )
    return found
