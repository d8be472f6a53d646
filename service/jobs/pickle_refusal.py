"""Keeps the job engine from unpickling, and so running, data from the job database."""

from typing import Any

from dbos import _serialization
from dbos._serialization import DefaultSerializer


class PickleRefused(Exception):
    """A row says that it is to be read with pickle, which runs whatever the row holds."""


def refuse_pickles() -> None:
    """Takes pickle out of the engine, which obeys what a row says of itself, whatever serializer it was given.

    Raises:
        RuntimeError: the engine is not as this was written for, and might read pickles by another way.
    """
    for name, replacement in (("serialize", _write_plain), ("deserialize", _refuse)):
        type.__setattr__(DefaultSerializer, name, replacement)
    # Nothing else in that module may find it either.
    vars(_serialization)["pickle"] = None
    name = DefaultSerializer().name()
    for read in (
        _serialization.deserialize_value,
        _serialization.deserialize_args,
        _serialization.deserialize_exception,
    ):
        try:
            read("gAROLg==", name, _serialization.DBOSPortableJSON)
        except PickleRefused:
            continue
        raise RuntimeError(f"the job engine reads pickles in a way that is not known here: {read.__name__}")


def _refuse(self: DefaultSerializer, serialized_data: str) -> Any:
    raise PickleRefused("The job database contains a pickle, which is refused.")


def _write_plain(self: DefaultSerializer, data: Any) -> str:
    """Plain JSON, so that a job whose row asks for a pickle can end: the engine writes the refusal as the row asks."""
    if isinstance(data, Exception):
        data = _serialization.exception_to_workflow_error_data(data)
    return _serialization.DBOSPortableJSON.serialize(data)
