"""Read a YAML file of the user's into a model, with errors that name file, key and next step."""

from __future__ import annotations

import difflib
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InputError
from .reading import read_bytes

Model = TypeVar("Model", bound=BaseModel)

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Strict(BaseModel):
    """A frozen record of a file that is ours alone: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Shared(BaseModel):
    """A frozen record of a file that other tools read too: an unknown key is only a warning."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises InputError where the file is missing, is no YAML, or holds no mapping.
    """
    try:
        value = _load(path)
    except OSError as error:
        problem = error.strerror or str(error)
        raise InputError(path, "", problem, "create the file or correct the path") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML lets errors of its own constructors (a date of month 13, say) through.
        raise InputError(path, "", f"not valid YAML: {error}", "correct the syntax") from None
    if not isinstance(value, dict):
        found = {list: "a list", type(None): "nothing"}.get(type(value), repr(value)[:80])
        raise InputError(path, "", f"expected a mapping, found {found}", "write `key: value` lines")
    return value


def _load(path: Path) -> Any:
    """What the file holds. YAML forbids a key that is there twice; PyYAML would take the last."""
    loader = Loader(read_bytes(path))
    try:
        node = loader.get_single_node()
        _check_keys(path, node)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _check_keys(path: Path, root: yaml.Node | None) -> None:
    todo, seen = [("", root)], set()
    while todo:
        place, node = todo.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += [(f"{place}{number}.", one) for number, one in enumerate(node.value)]
            continue
        lines: dict[Any, int] = {}
        for key, value in node.value:
            name, line = key.value, key.start_mark.line + 1
            if not isinstance(name, str):
                continue
            if name in lines:
                problem = f"is there twice, in lines {lines[name]} and {line}"
                raise InputError(path, f"{place}{name}", problem, "keep one of them")
            lines[name] = line
            todo.append((f"{place}{name}.", value))


def parse(path: Path, model: type[Model], value: Any, prefix: str = "") -> Model:
    """`value` as a `model`; InputError with one line for each thing that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise input_error(path, model, value, error, prefix) from None


def input_error(
    path: Path, model: type[BaseModel], value: Any, error: ValidationError, prefix: str = ""
) -> InputError:
    """The first problem of a ValidationError as an InputError; further ones are listed in it.

    What is wrong inside a value says more than that the value as a whole is not right.
    """
    found = [(_place(value, item), item) for item in error.errors()]
    lines = [
        (".".join([prefix] * bool(prefix) + list(place)), _words(item, model))
        for place, item in found
        if not any(other[: len(place)] == place != other for other, _ in found)
    ]
    key, (problem, step) = lines[0]
    more = "".join(f"\n  also {other}: {words[0]}" for other, words in lines[1:])
    return InputError(path, key, problem + more, step)


def _place(value: Any, item: Any) -> tuple[str, ...]:
    """Where an error is, without the names that pydantic gives to the members of a union."""
    place = []
    for part in item["loc"]:
        if isinstance(value, dict) and (part in value or item["type"] == "missing"):
            value = value.get(part)
        elif isinstance(value, (list, tuple)) and isinstance(part, int):
            value = value[part]
        else:
            continue
        place.append(str(part))
    return tuple(place)


_EXPECTED = {
    "tuple_type": "expected a list",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
    "string_type": "expected text",
    "too_short": "expected at least one",
}


def _words(item: Any, model: type[BaseModel]) -> tuple[str, str]:
    """What is wrong, and the next step."""
    kind, found = item["type"], item.get("input")
    if kind == "extra_forbidden":
        names = _known_names(model, item["loc"][:-1])
        close = difflib.get_close_matches(str(item["loc"][-1]), names, 1)
        hint = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(names)}"
        return "unknown key", hint
    if kind == "missing":
        return "missing", "add this key"
    said = _EXPECTED.get(kind) or item["msg"].removeprefix("Value error, ")
    quoted = kind == "string_type" and isinstance(found, (bool, int, float, date))
    step = "put it in quotes" if quoted else "correct the value"
    if kind == "value_error" and isinstance(found, dict):
        return said, step
    return f"{said} (found {'nothing' if found is None else repr(found)[:80]})", step


def _known_names(model: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    for part in place:
        field = model.model_fields.get(str(part))
        inner = next((m for m in _models(field.annotation)), None) if field else None
        if inner is None:
            break
        model = inner
    return list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field's type mentions: `X`, `X | None`, `list[X]`, `dict[str, X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models(part)]


def unknown_keys(model: type[BaseModel], value: Any, prefix: str = "") -> list[str]:
    """Dotted names of the keys in `value` that `model` does not know, at any depth."""
    if not isinstance(value, dict):
        return []
    found = []
    for name, inner in value.items():
        field = model.model_fields.get(str(name))
        if field is None:
            found.append(f"{prefix}{name}")
            continue
        for nested in _models(field.annotation):
            for place, one in _children(inner, field.annotation):
                found += unknown_keys(nested, one, f"{prefix}{name}.{place}")
    return list(dict.fromkeys(found))


def _children(value: Any, annotation: Any) -> list[tuple[str, Any]]:
    """The records in a field's value: itself, the members of a list, or those of a mapping."""
    if isinstance(value, list):
        return [("", one) for one in value]
    if isinstance(value, dict) and _is_mapping(annotation):
        return [(f"{name}.", one) for name, one in value.items()]
    return [("", value)]


def _is_mapping(annotation: Any) -> bool:
    if getattr(annotation, "__origin__", None) is dict:
        return True
    return any(_is_mapping(part) for part in getattr(annotation, "__args__", ()))
