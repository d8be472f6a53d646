"""How problems look; `service.api.problems` writes them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ProblemEntry(BaseModel):
    """One error of a request."""

    model_config = ConfigDict(extra="forbid")

    pointer: str = Field(description="JSON pointer into the request; empty for the request as a whole")
    code: str = Field(description="A stable snake_case word")
    message: str = Field(description="What was wrong, what was expected, what was received, and how to fix it")


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[ProblemEntry] = Field(max_length=100)
    job: dict[str, Any] | None = Field(None, description="With `still_training`: the job that will publish the model")
