"""What was found when series were read."""

from pydantic import BaseModel, ConfigDict, Field


class FindingAnswer(BaseModel):
    """Something that a person should know about the series."""

    model_config = ConfigDict(extra="forbid")

    code: str
    id: str | None = Field(description="The series; null for the whole upload")
    message: str
