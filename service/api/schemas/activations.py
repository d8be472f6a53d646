"""The body of POST /activations, and its answer."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.forecast import SeriesJson, Version
from service.domain.series import Missing
from service.serving.activations import ActivationsRequest
from service.store.layout import NAME_PATTERN


class ActivationsBody(BaseModel):
    """A request for what the recurrent layers of a model compute inside."""

    model_config = ConfigDict(extra="forbid", strict=True)

    series: SeriesJson = Field(description="One series; null is a missing value")
    model: str | None = Field(
        None, pattern=NAME_PATTERN, description="A stored model's name; by default the store's default model"
    )
    version: Version = Field(None, description="A number or an alias; by default the model's current version")
    missing: Missing = Field("interpolate", description="What stands in for null")

    def to_request(self) -> ActivationsRequest:
        """The request as the use case takes it, without the series."""
        return ActivationsRequest(self.model, self.version, self.missing)


class LayerAnswer(BaseModel):
    """A recurrent layer at work."""

    model_config = ConfigDict(extra="forbid")

    name: str
    kind: Literal["lstm", "gru", "simple"]
    units: int
    steps: int
    values: dict[str, list[list[float]]] = Field(description="Gates, candidate and states by name, [steps, units] each")


class ActivationsAnswer(BaseModel):
    """What the recurrent layers of a version compute inside."""

    model_config = ConfigDict(extra="forbid")

    model: str
    version: int
    input: list[float] = Field(description="The scaled values that the first layer reads")
    layers: list[LayerAnswer] = Field(description="The recurrent layers, from the input on")
