"""Several API processes behind one listening socket, for more cores than one."""

import logging
import os
import sys
import tempfile

from service.errors import InsecureServer
from service.listener import check_exposure, format_url, listen
from service.settings import Settings
from service.supervisor import Child, Supervisor
from service.telemetry.logging import configure

logger = logging.getLogger(__name__)

# Where processes leave their numbers for whichever of them is asked for the metrics of all.
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def serve_together(settings: Settings, insecure: bool = False) -> int:
    """Runs as many API processes as the settings say, until a signal ends them. One that dies is replaced.

    Returns:
        The exit status: 0 when a signal ended it, 1 when it could not start, with the reason on standard error.
    """
    configure(json=settings.logs_json)
    try:
        check_exposure(settings, insecure)
        listener = listen(settings.host, settings.port)
    except (InsecureServer, OSError) as error:
        print(error.message if isinstance(error, InsecureServer) else error, file=sys.stderr)
        return 1
    descriptor = listener.fileno()
    command = [sys.executable, "-m", "service.cli", "serve", "--descriptor", str(descriptor)]
    command += ["--insecure"] if insecure else []
    with listener, tempfile.TemporaryDirectory(prefix="outfielder-metrics-") as folder:
        os.environ[METRICS_VARIABLE] = folder
        logger.info("%d processes listen on %s", settings.workers, format_url(listener))
        children = [
            Child(f"api {number}", command, inherited=(descriptor,)) for number in range(1, settings.workers + 1)
        ]
        return Supervisor(children).run()
