"""Answers of POST /activations: their size, and their JSON in pieces as those of `response_stream`."""

from collections.abc import Iterator

from starlette.requests import Request

from service.api.dependencies import Services
from service.api.json_response import write_json
from service.api.response_stream import PIECE_VALUES
from service.engines.engine import Array
from service.errors import InvalidRequest
from service.serving.activations import ActivationsPlan, VersionActivations

# A number as 64 bits while it is computed, as 32, and as letters of JSON.
NUMBER_BYTES = 24


def hold_activations(request: Request, services: Services, plan: ActivationsPlan) -> None:
    """Reserves memory for activations and their answer.

    Raises:
        InvalidRequest: the answer would be too large.
        TooMuchInFlight: there is no memory left for it now.
    """
    most = min(services.settings.max_answer_values, services.budget.limit_bytes // NUMBER_BYTES)
    if plan.n_values > most:
        raise InvalidRequest.at(
            "/series",
            "answer_too_large",
            f"The answer would hold about {plan.n_values} numbers: expected at most {most}. Send fewer points, or "
            "choose a model with fewer units.",
        )
    request.scope["state"]["hold"].grow(NUMBER_BYTES * plan.n_values)


def write_activations(answer: VersionActivations) -> Iterator[bytes]:
    """The JSON of the answer, in pieces."""
    head = {"model": answer.model, "version": answer.version, "input": answer.input}
    yield write_json(head)[:-1] + b',"layers":['
    for i, (kind, values) in enumerate(answer.layers):
        steps, units = values["hidden_state"].shape
        facts = {"name": f"{kind}_{i + 1}", "kind": kind, "units": units, "steps": steps}
        yield (b"," if i else b"") + write_json(facts)[:-1] + b',"values":{'
        for j, (name, array) in enumerate(values.items()):
            yield (b"," if j else b"") + write_json(name) + b":["
            yield from _write(array)
            yield b"]"
        yield b"}}"
    yield b"]}"


def _write(array: Array) -> Iterator[bytes]:
    """The rows of an array [steps, units]."""
    count = max(1, PIECE_VALUES // array.shape[1])
    for first in range(0, len(array), count):
        yield (b"," if first else b"") + write_json(array[first : first + count])[1:-1]
