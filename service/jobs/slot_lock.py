"""Whose a worker's slot of a state folder is: a lock that goes with the process, and says at once that it has gone."""

import fcntl
import os
from itertools import count, takewhile
from pathlib import Path

import sqlalchemy as sa

from service.errors import SlotTaken
from service.jobs.host import name_executor
from service.jobs.leases import requeue


def take_slot(state_dir: Path, slot: int) -> int:
    """Locks a slot. Returns the descriptor that holds the lock; whoever closes it gives the slot up.

    Raises:
        SlotTaken: a worker of this slot is alive.
        OSError: the folder can't be written.
    """
    descriptor = os.open(_lock_of(state_dir, slot), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SlotTaken(
            f"A worker is already running on slot {slot} of {state_dir}. Stop it first, or choose another state folder."
        ) from error
    return descriptor


def recover(engine: sa.Engine, state_dir: Path, host_id: str, slot: int, n_slots: int) -> None:
    """Puts jobs back into the queue whose worker this state folder's locks say is gone; leases take longer to say it.

    Raises:
        DatabaseUnavailable.
    """
    with engine.begin() as connection:
        requeue(connection, _names(engine, host_id, slot))
    if slot:
        return
    for other in takewhile(lambda other: _lock_of(state_dir, other).exists(), count(n_slots)):
        try:
            lock = take_slot(state_dir, other)
        except SlotTaken:
            continue
        try:
            with engine.begin() as connection:
                requeue(connection, _names(engine, host_id, other))
        finally:
            os.close(lock)


def _names(engine: sa.Engine, host_id: str, slot: int) -> list[str]:
    """The names that a slot's workers have, or had, in the database."""
    names = [name_executor(host_id, slot)]
    # Before hosts had names, slots had the same ones on all of them; an SQLite file has one host.
    return [*names, _file_name(slot)] if engine.dialect.name == "sqlite" else names


def _file_name(slot: int) -> str:
    """Of a slot's lock, and of its worker in the database before hosts had names."""
    return f"worker-{slot}"


def _lock_of(state_dir: Path, slot: int) -> Path:
    return state_dir / f"{_file_name(slot)}.lock"
