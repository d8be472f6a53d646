"""Finds jobs whose worker has gone, and puts them back into the queue."""

import logging
import threading
from collections import Counter
from collections.abc import Callable

import sqlalchemy as sa
from dbos import DBOSClient
from sqlalchemy.exc import SQLAlchemyError

from service.errors import DatabaseUnavailable
from service.jobs.engine_names import WORKFLOW
from service.jobs.leases import hand_back

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
# Looks in a row that find a job with nobody at it: between taking it and beginning, and after its end, are moments.
LOOKS = 3
HAND_BACKS = 2


def keep_going(
    client: DBOSClient,
    engine: sa.Engine,
    executor: str,
    active: Callable[[], list[str]],
    give_up: Callable[[str], None],
    stop: threading.Event,
) -> None:
    """Hands back jobs that this worker has in the database but not in its hands, until it is stopped.

    So it comes about when the database failed as a job was taken, or as its outcome was to be recorded.

    Args:
        executor: this worker's name in the database.
        active: returns the ids of the jobs that the worker is running.
        give_up: fails a job that could not be begun however often it was handed back: its row can't be read.
    """
    strays: dict[str, int] = {}
    handed_back: Counter[str] = Counter()
    while not stop.wait(LOOK_SECONDS):
        try:
            owned = client.list_workflows(
                name=WORKFLOW, status="PENDING", executor_id=executor, load_input=False, load_output=False
            )
            in_hand = set(active())
            for job_id in in_hand:
                handed_back.pop(job_id, None)
            ids = [job.workflow_id for job in owned if job.workflow_id not in in_hand]
            strays = {job_id: strays.get(job_id, 0) + 1 for job_id in ids}
            for job_id in [job_id for job_id, looks in strays.items() if looks >= LOOKS]:
                if handed_back[job_id] >= HAND_BACKS:
                    logger.error("job %s can't be begun, and is failed", job_id)
                    give_up(job_id)
                else:
                    logger.warning("nobody is at job %s, which is handed back", job_id)
                    with engine.begin() as connection:
                        hand_back(connection, executor, [job_id])
                handed_back[job_id] += 1
                del strays[job_id]
        except (SQLAlchemyError, DatabaseUnavailable) as error:
            logger.warning("the job database can't be looked through: %s", error)
