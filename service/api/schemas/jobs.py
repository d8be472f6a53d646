"""What is told of a job beside its record."""

from pydantic import BaseModel, ConfigDict, Field


class EpochAnswer(BaseModel):
    """An epoch of a fit."""

    model_config = ConfigDict(extra="forbid")

    attempt: int = Field(description="The run of the job that it belongs to")
    epoch: int = Field(description="Counts the epochs of a run, over all fits that it takes")
    member: int = Field(
        description="Counts the fits of a run from 1: the members of an ensemble, the candidates of auto, the trials "
        "of a search, and going on with further points"
    )
    member_epoch: int = Field(description="Counts the epochs of a fit from 1")
    loss: float | None
    val_loss: float | None
    seconds: float | None = Field(description="From the run's beginning to the epoch's end")


class HistoryAnswer(BaseModel):
    """The epochs of a job, in the order in which they were fitted."""

    model_config = ConfigDict(extra="forbid")

    history: list[EpochAnswer]
    next_cursor: str | None
