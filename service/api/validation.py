"""Turns pydantic's errors into the API's: stable codes, JSON pointers, the most similar known field."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from types import NoneType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from service.domain.json_flaws import LONGEST_GUESSED, describe, escape, unknown_field
from service.errors import MOST_FLAWS, Flaw, InvalidRequest

# pydantic's words that say only which way a bound was passed.
_OUT_OF_BOUNDS = ("greater_than", "less_than", "too_long", "too_short", "string_too")


Model = TypeVar("Model", bound=BaseModel)


def check(value: Any, model: type[Model]) -> Model:
    """Parsed JSON as the model that it must fit. Raises InvalidRequest."""
    unknown = list(islice(_find_unknown(value, model, ""), MOST_FLAWS))
    if len(unknown) == MOST_FLAWS:
        raise InvalidRequest(unknown)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False), model) from error


def invalid(details: Iterable[Mapping[str, Any]], model: type[BaseModel] | None = None) -> InvalidRequest:
    """The error for what pydantic found.

    Args:
        details: pydantic's own list of errors, locations from the request's root on.
        model: what was expected, to name the fields that there are.
    """
    return InvalidRequest([_flaw(entry, model) for entry in islice(details, MOST_FLAWS)])


def _find_unknown(value: Any, model: type[BaseModel] | None, pointer: str) -> Iterator[Flaw]:
    """Unknown fields, in bodies with so many of them that pydantic's list would be long."""
    if model is None or not isinstance(value, dict):
        return
    known = list(model.model_fields)
    if len(value) > MOST_FLAWS:
        for name in value:
            if name not in model.model_fields:
                yield unknown_field(name, f"{pointer}/{escape(name)}", known)
    for name in known:
        if isinstance(value.get(name), dict):
            yield from _find_unknown(value[name], _model_at(model, name), f"{pointer}/{name}")


def _flaw(entry: Mapping[str, Any], model: type[BaseModel] | None) -> Flaw:
    location: Sequence[int | str] = entry["loc"]
    pointer = "".join(f"/{escape(str(part))}" for part in location)
    kind, given = str(entry["type"]), entry.get("input")
    context: Mapping[str, Any] = entry.get("ctx", {})
    if kind == "missing":
        return Flaw(pointer, "missing_field", f"The field {location[-1]!r} is missing: add it.")
    if kind == "extra_forbidden":
        return unknown_field(str(location[-1]), pointer, _fields_at(model, location[:-1]))
    if kind == "literal_error":
        return Flaw(pointer, "unknown_choice", _choice_message(str(context["expected"]), given))
    if kind.startswith(_OUT_OF_BOUNDS):
        return Flaw(pointer, "out_of_bounds", f"{entry['msg']}, got {describe(given)}.")
    if kind == "string_pattern_mismatch":
        return Flaw(
            pointer,
            "bad_name",
            "A name begins with a letter or digit and holds up to 100 letters, digits, '.', '_', '-'; got "
            f"{describe(given)}.",
        )
    if kind != "wrong_type" and kind.endswith(("_type", "_parsing", "_from_float", "_size")):
        return Flaw(pointer, "wrong_type", f"{entry['msg']}, got {describe(given)}.")
    # A validator of ours has chosen the word and the message.
    return Flaw(pointer, kind, str(entry["msg"]))


def _choice_message(expected: str, given: Any) -> str:
    choices = expected.replace("'", "").replace(" or ", ", ").split(", ")
    is_short = isinstance(given, str) and len(given) <= LONGEST_GUESSED
    close = get_close_matches(given, choices, n=1) if is_short else []
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"Expected {expected}, got {describe(given)}.{hint}"


def _fields_at(model: type[BaseModel] | None, location: Sequence[int | str]) -> list[str]:
    """The fields of the object at a location inside a model."""
    for part in location:
        model = None if model is None else _model_at(model, str(part))
    return [] if model is None else list(model.model_fields)


def _model_at(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model that a field is to fit."""
    field = model.model_fields.get(name)
    kinds = [] if field is None else [field.annotation, *get_args(field.annotation)]
    return next(
        (kind for kind in kinds if isinstance(kind, type) and kind is not NoneType and issubclass(kind, BaseModel)),
        None,
    )
