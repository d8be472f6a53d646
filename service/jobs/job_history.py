"""Loss curves, from what a job's runs have reported."""

from collections.abc import Sequence
from typing import Any


def to_history(told: Sequence[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The epochs among numbered reports. Reports between epochs, such as of a trial's end, are none."""
    return [
        {
            "attempt": fields.get("attempt", 1),
            "epoch": fields["epoch"],
            "member": fields.get("member", 1),
            "member_epoch": fields["member_epoch"],
            "loss": fields.get("loss"),
            "val_loss": fields.get("val_loss"),
            "seconds": fields.get("seconds"),
        }
        for _, fields in told
        if "member_epoch" in fields
    ]
