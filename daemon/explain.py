"""Turns pydantic's findings into sentences for the operator: which key, what is wrong with it, what is allowed."""

import re
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from daemon.nearest import did_you_mean, nearest
from daemon.redact import redact

Location = tuple[int | str, ...]


class Key(NamedTuple):
    """One setting or argument: its full name (`[]` stands for any element of a list), default and meaning."""

    name: str
    default: Any
    """What holds when it is not given; None where it must be given or there is none."""
    description: str
    required: bool = False
    secret: bool = False


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[Key]:
    """List every key of a model, depth first, in the order of definition."""
    for name, field in model.model_fields.items():
        inner, is_list = _model_of(field.annotation)
        if inner is not None:
            yield from keys(inner, f"{prefix}{name}{'[]' if is_list else ''}.")
        else:
            yield Key(
                f"{prefix}{name}", _default(field), field.description or "", field.is_required(), _is_secret(field)
            )


def _default(field: FieldInfo) -> Any:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined:
        return None
    return default.get_secret_value() if isinstance(default, SecretStr) else default


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr


def _model_of(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Find the model inside `Model`, `Model | None`, `list[Model]`, `tuple[Model, ...]`, and whether it is a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    origin = get_origin(annotation)
    if origin in (list, tuple, Union, types.UnionType):
        for inner in get_args(annotation):
            model, _ = _model_of(inner)
            if model is not None:
                return model, origin in (list, tuple)
    return None, False


def spell(location: Location) -> str:
    """Write a location as people do: exchanges[0].symbols[1]."""
    named = [part for part in location if isinstance(part, int) or "[" not in part]  # the rest is pydantic's own
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in named)
    return "".join(parts).removeprefix(".")


def explain(error: ValidationError, model: type[BaseModel], name: Callable[[Location], str] = spell) -> list[str]:
    """Return one sentence per problem. `name` says how the operator knows the key at a location."""
    known = list(keys(model))
    details = error.errors(include_url=False)
    return [_sentence(detail, known, name) for detail in details if not _follows(detail, details)]


def _follows(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """Whether a problem only follows from another: a list is too short without its wrong item, a default unknown."""
    where = detail["loc"]
    within = any(other["loc"][: len(where)] == where != other["loc"] for other in details)
    return detail["type"] == "default_factory_not_called" or (detail["type"] == "too_short" and within)


def _sentence(detail: ErrorDetails, known: list[Key], name: Callable[[Location], str]) -> str:
    location = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return f"{name(location)} is not known here{_guess_key(location, known, name)}"
    if detail["type"] == "missing":
        return f"{name(location)} is missing{_meaning(location, known)}"
    if not location:
        return _plain(detail)
    return f"{name(location)}{_quoted(detail, known)}: {_plain(detail)}"


def _generic(location: Location) -> str:
    return re.sub(r"\[\d+\]", "[]", spell(location))


def _meaning(location: Location, known: list[Key]) -> str:
    return next((f": {key.description}" for key in known if key.name == _generic(location) and key.description), "")


def _guess_key(location: Location, known: list[Key], name: Callable[[Location], str]) -> str:
    """Name the nearest key: first among its siblings, then anywhere, then by its last part alone."""
    wrong = _generic(location)
    parent = wrong.rpartition(".")[0]
    candidates = [key.name for key in known]
    sections = {re.sub(r"\[\]\Z", "", candidate.rpartition(".")[0]) for candidate in candidates} - {""}
    leaves = {candidate.rpartition(".")[2]: candidate for candidate in candidates}
    siblings = [c.rpartition(".")[2] for c in candidates if c.rpartition(".")[0] == parent]
    sibling = nearest(str(location[-1]), siblings + ([] if parent else sorted(sections)))
    if sibling is not None:
        return f"; did you mean {name((*location[:-1], sibling))}?"
    guess = nearest(wrong, [*candidates, *sections]) or leaves.get(str(location[-1]))
    if guess is not None:
        return f"; did you mean {guess}?"
    known_here = siblings if parent else [*siblings, *sorted(sections)]
    return f" (known: {', '.join(known_here)})" if known_here else ""


def _quoted(detail: ErrorDetails, known: list[Key]) -> str:
    """Quote the wrong value, unless it is secret or might contain a secret."""
    value = detail["input"]
    leaf = _generic(detail["loc"]).removesuffix("[]")
    harmless = any(key.name == leaf and not key.secret for key in known)
    if not harmless or not isinstance(value, str | int | float):
        return ""
    text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return f" = {redact(text[:80])}"


def _plain(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    if detail["type"] == "value_error":
        return str(context["error"])
    if detail["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"])
        return f"should be {context['expected']}{did_you_mean(str(detail['input']), allowed)}"
    if detail["type"] in ("model_type", "model_attributes_type"):
        return "should be a table of settings"
    if detail["type"] in ("list_type", "tuple_type"):
        return "should be a list"
    if detail["type"] == "too_short":
        return f"needs {context['min_length']} at least"
    return detail["msg"].removeprefix("Input ").removeprefix("String ")
