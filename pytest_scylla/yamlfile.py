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
    """A frozen record of a file that other tools read too: a key that is none of ours is only a
    warning, unless it looks like one of ours (`accept_unknown`)."""

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
        _check_size(path, node)
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


MOST_VALUES = 1_000_000
"""Values in one file, with what its aliases stand for: a few lines can stand for billions."""


def _check_size(path: Path, root: yaml.Node | None) -> None:
    """Refuse aliases that stand for more than fits, or for themselves."""
    sizes: dict[int, int] = {}
    begun: set[int] = set()
    todo = [root] if root else []
    while todo:
        node = todo[-1]
        inner = _parts(node)
        waiting = [part for part in inner if id(part) not in sizes]
        if id(node) in sizes or not waiting:
            sizes[id(node)] = 1 + sum(sizes[id(part)] for part in inner)
            todo.pop()
        elif any(id(part) in begun for part in waiting) and id(node) in begun:
            raise InputError(path, "", "an alias stands for itself", "write out what it stands for")
        else:
            begun.add(id(node))
            todo += waiting
        if sizes.get(id(node), 0) > MOST_VALUES:
            problem = f"its aliases stand for more than {MOST_VALUES:,} values"
            raise InputError(path, "", problem, "write out what they stand for")


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


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
        hint = did_you_mean(model, ".".join(map(str, item["loc"])))
        return "unknown key", hint or f"known keys: {', '.join(names)}"
    if kind == "missing":
        return "missing", "add this key"
    said = _EXPECTED.get(kind) or item["msg"].removeprefix("Value error, ")
    step = _form(item, model) or "correct the value"
    if kind == "value_error" and isinstance(found, dict):
        return said, step
    return f"{said} (found {'nothing' if found is None else repr(found)[:80]})", step


def _form(item: Any, model: type[BaseModel]) -> str | None:
    """How a value is written that has another form than it should."""
    kind, found = item["type"], item.get("input")
    if kind == "string_type" and isinstance(found, (bool, int, float, date)):
        return "put it in quotes"
    if kind == "tuple_type" and isinstance(found, (str, int, float)):
        return f"write a list: [{found}]"
    if kind != "model_type":
        return None
    inner = _model_at(model, item["loc"])
    required = [name for name, field in inner.model_fields.items() if field.is_required()]
    if len(required) == 1 and isinstance(found, str):
        return f"write a mapping: {{{required[0]}: {found}}}"
    return f"write a mapping with {', '.join(required) or ' or '.join(inner.model_fields)}"


def _model_at(model: type[BaseModel], place: tuple[Any, ...]) -> type[BaseModel]:
    """The record that is expected somewhere in a value of `model`."""
    for part in place:
        field = model.model_fields.get(str(part))
        model = next(iter(_models(field.annotation)), model) if field else model
    return model


def accept_unknown(path: Path, model: type[BaseModel], value: Any) -> list[str]:
    """Warnings of the keys in `value` that `model` does not know.

    Raises InputError for one that looks like a misspelt key of ours: what it asks for would be
    ignored.
    """
    unknown = unknown_keys(model, value)
    for key in unknown:
        hint = did_you_mean(model, key)
        if hint:
            raise InputError(path, key, "unknown key", hint)
    return [f"{path}: {key}: unknown key, ignored" for key in unknown]


LIKENESS = 0.7
"""Of two names (difflib's ratio), from which on one may be a misspelt other."""


def did_you_mean(model: type[BaseModel], key: str) -> str:
    """A question that names the key which an unknown one (dotted) looks like; else nothing."""
    *place, name = key.split(".")
    names = _known_names(model, tuple(place))
    close = difflib.get_close_matches(name, names, 1, LIKENESS)
    close += [known for known in names if len(name) > 3 and known.startswith(name)]
    return f"did you mean `{close[0]}`?" if close else ""


def _known_names(model: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    return list(_model_at(model, place).model_fields)


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
