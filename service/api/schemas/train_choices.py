"""What a form needs to know of training options beyond types: which architectures have them, and their defaults.

JSON Schema ignores the members that begin with `x-`.
"""

from typing import Any

from service.domain.recipes.option import NO_MODELS, OF_PRESET, Derived, Option
from service.domain.recipes.options import OPTIONS
from service.domain.recipes.presets import PRESETS, Preset

AUTO = "Trains several kinds on your own series, or the best of the chapter's on waves, and serves their weighted mean."
CHAPTER = "One job for each of the chapter's models."


def describe_architectures() -> dict[str, Any]:
    """The JSON schema of `architecture`: each word with what it means, its options and those of its own defaults."""
    words = [
        {
            "const": "auto",
            "description": AUTO,
            "x-options": _options_of_auto(),
            "x-options-on-waves": _options_of_auto(),
        },
        *map(_describe, PRESETS.values()),
        {"const": "chapter", "description": CHAPTER, "x-options": [], "x-options-on-waves": _names(OPTIONS)},
    ]
    return {"type": "string", "oneOf": words}


def describe_default(option: Option) -> dict[str, Any]:
    """`x-default`: what an option is where it is left out, in words."""
    if isinstance(option.default, Derived):
        return {"x-default": option.default.words.replace("`", "")}
    if option.default is None or option.fields:
        return {"x-default": "none"}
    return {"x-default": str(option.default).lower() if option.type is bool else str(option.default)}


def _describe(preset: Preset) -> dict[str, Any]:
    own = [option for option in OPTIONS if option.models.include(preset)]
    on_waves = [option for option in own if option.on_waves is not NO_MODELS and option.on_waves.include(preset)]
    defaults = {option.name: getattr(preset, option.name) for option in own if option.default is OF_PRESET}
    return {
        "const": preset.name,
        "description": preset.summary,
        "x-options": _names(own),
        "x-options-on-waves": _names(on_waves),
        "x-defaults": defaults,
        "x-in-chapter": preset.in_chapter,
    }


def _options_of_auto() -> list[str]:
    return [option.name for option in OPTIONS if not option.is_auto_choice]


def _names(options: list[Option] | tuple[Option, ...]) -> list[str]:
    return [option.name for option in options]
