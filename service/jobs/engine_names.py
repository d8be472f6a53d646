"""What the queue and its workers agree on in the job engine."""

from service.jobs.job_records import RUNS

APPLICATION = "outfielder"
# Jobs run only on workers of the same version of this layout: raise it when a stored job could no longer be read.
APPLICATION_VERSION = "jobs-v2"
QUEUE = "jobs"
WORKFLOW = "run_job"
PROGRESS = "progress"
# A job that took its worker down is tried again; after this many further tries it is the job that is at fault.
MAX_RECOVERIES = RUNS - 1
