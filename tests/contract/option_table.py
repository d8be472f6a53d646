"""The table of training options as it stands in docs/api.md; `python -m tests.contract.option_table` writes it anew."""

from collections.abc import Iterator
from pathlib import Path

from service.domain.recipes.option import ALL_MODELS, NO_MODELS, Around, Between, Derived, Models, Option
from service.domain.recipes.options import OPTIONS, WAVES
from service.domain.recipes.presets import PRESETS

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
BEGIN, END = "<!-- The table of options begins. -->\n", "<!-- The table of options ends. -->\n"
TYPES = {bool: "true, false", int: "integer", float: "number"}


def render(options: tuple[Option, ...] = OPTIONS) -> str:
    """The table, what its words for groups of presets mean, and what `auto` chooses."""
    lines = ["| option | values | default | models | `tune` tries | meaning |", "|---|---|---|---|---|---|"]
    for option in options:
        lines += [_row(option, option.name, _models(option))]
        lines += [_row(field, f"{option.name}.{field.name}", _models(option)) for field in option.fields]
    lines += [_row(option, f"data.{option.name}", "all; waves only") for option in WAVES]
    lines += ["", "In the column of models:", "", *_groups(options)]
    chosen = ", ".join(f"`{option.name}`" for option in options if option.is_auto_choice)
    lines += ["", f"`auto` chooses by itself, so that a request can't: {chosen}."]
    return "\n".join(lines) + "\n"


def _row(option: Option, name: str, models: str) -> str:
    cells = (f"`{name}`", _values(option), _default(option), models, _search(option), option.description)
    return f"| {' | '.join(cell.rstrip('.') for cell in cells)} |"


def _values(option: Option) -> str:
    if option.fields:
        return "object"
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    bounds = option.bounds.given()
    if bounds.keys() == {"ge", "le"}:
        return f"{TYPES[option.type]}, {bounds['ge']:,} to {bounds['le']:,}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return ", ".join([TYPES[option.type], *(f"{words[kind]} {bound:,}" for kind, bound in bounds.items())])


def _default(option: Option) -> str:
    if isinstance(option.default, Derived):
        return option.default.words
    if option.default is None:
        return "none"
    if option.choices:
        return f"`{option.default}`"
    return str(option.default).lower() if option.type is bool else f"{option.default:g}"


def _models(option: Option) -> str:
    if option.on_waves is NO_MODELS:
        return f"{option.models.words}; own series only"
    if option.on_waves is not ALL_MODELS:
        return f"{option.models.words}; on waves those {option.on_waves.words}"
    return option.models.words


def _search(option: Option) -> str:
    search = option.search
    if search is None:
        return ""
    if isinstance(search, Around):
        return f"the default / {search.factor:g} to the default × {search.factor:g}"
    if isinstance(search, Between):
        reach = "" if search.reach is None else f", or {search.reach:g} more than the default"
        return f"{search.low:g} to {search.high:g}{reach}"
    return ", ".join(f"`{choice}`" if option.choices else str(choice) for choice in search.choices)


def _groups(options: tuple[Option, ...]) -> Iterator[str]:
    """What each word for a group of presets stands for, the shorter way round."""
    groups: dict[str, Models] = {}
    for option in options:
        groups |= {models.words: models for models in (option.models, option.on_waves)}
    for words, models in groups.items():
        if models not in (ALL_MODELS, NO_MODELS):
            within = [f"`{name}`" for name, preset in PRESETS.items() if models.include(preset)]
            without = [f"`{name}`" for name, preset in PRESETS.items() if not models.include(preset)]
            names = within if len(within) <= len(without) else ["all but " + without[0], *without[1:]]
            yield f"- {words}: {', '.join(names)}"


def main() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{render()}\n{END}{after}")


if __name__ == "__main__":
    main()
