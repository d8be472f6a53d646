"""The flags of `outfielder train`: one for each option of the table."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from service.domain.recipes.option import Option
from service.domain.recipes.options import OPTIONS

Command = Callable[..., None]


def add_flags(command: Command) -> Command:
    """Gives a command flags in place of its `**options`; those that a person leaves out come as None."""
    signature = inspect.signature(command)
    own = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    flags = [_make_flag(name, option, owner) for name, option, owner in _flags()]
    command.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]  # typer reads it; no type names it
    return command


def read_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of POST /train from flags: those of an object stand inside it."""
    fields: dict[str, Any] = {}
    for name, option, owner in _flags():
        if flags[name] is None:
            continue
        if owner is None:
            fields[option.name] = flags[name]
        else:
            fields.setdefault(owner.name, {})[option.name] = flags[name]
    return fields


def _flags() -> Iterator[tuple[str, Option, Option | None]]:
    """Each flag's name, its option, and the one that it is a field of."""
    for option in OPTIONS:
        if not option.fields:
            yield option.name, option, None
        for field in option.fields:
            if field.has_flag:
                yield field.name, field, option


def _make_flag(name: str, option: Option, owner: Option | None) -> inspect.Parameter:
    # The server knows better than a parser what to say of a choice that there is not.
    kind = str if option.choices else option.type
    choices = f" ({', '.join(option.choices)})" if option.choices else ""
    of = "" if owner is None else f"; of `{owner.name}`"
    flag = typer.Option(help=f"{option.description}{of}{choices}.", rich_help_panel="Training options")
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, flag]
    )
