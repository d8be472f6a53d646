"""Versions as paths of other servers' protocols name them."""

import re

from service.api.dependencies import Services
from service.api.untrained_model import explain_missing
from service.errors import ModelNotFound
from service.store.manifest import Manifest
from service.store.model_entry import ModelEntry

_NUMBER = re.compile(r"[0-9]{1,9}\Z")


def read_version(text: str) -> int | str:
    """Digits are a number; anything else can only be an alias."""
    return int(text) if _NUMBER.match(text) else text


async def resolve(services: Services, name: str | None, version: int | str | None) -> Manifest:
    """The version that a path or a body means; without a name that of the default model.

    Raises:
        ModelNotFound, StillTraining, VersionNotFound, NoChampion, VersionDamaged.
    """
    try:
        return await services.registry.resolve(name, version)
    except ModelNotFound as error:
        raise await explain_missing(services.jobs, name, error) from error


async def find_model(services: Services, name: str) -> ModelEntry:
    """A model, also where it was published a moment ago. Raises ModelNotFound, StillTraining, VersionDamaged."""
    try:
        return services.catalog.model(name)
    except ModelNotFound:
        await services.registry.refresh()
    try:
        return services.catalog.model(name)
    except ModelNotFound as error:
        raise await explain_missing(services.jobs, name, error) from error
