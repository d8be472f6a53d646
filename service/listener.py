"""Where the API listens, and whether it may."""

import ipaddress
import socket

from service.errors import InsecureServer
from service.settings import Settings

# Connections that wait to be accepted.
BACKLOG = 2048


def check_exposure(settings: Settings, insecure: bool) -> None:
    """Refuses to serve the network without a key.

    Raises:
        InsecureServer: the host is beyond loopback, there is no key, and nobody has said that this is wanted.
        KeysUnusable: API keys are set, but none that a client could send.
    """
    if insecure or settings.all_api_keys() or is_loopback(settings.host):
        return
    raise InsecureServer(
        f"The API would listen on {settings.host!r}, beyond this machine, without an API key. Set OUTFIELDER_API_KEYS, "
        "listen on 127.0.0.1, or say --insecure."
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError that says what to do."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise OSError(
            f"Can't listen on {host}:{port}: {error.strerror}. Choose another with OUTFIELDER_HOST and OUTFIELDER_PORT."
        ) from error
    return listener


def find_free_port(host: str) -> int:
    """A port of the host that nobody listens on. Raises OSError as `listen`."""
    with listen(host, 0) as listener:
        port: int = listener.getsockname()[1]
    return port


def format_url(listener: socket.socket) -> str:
    """A listening socket's address."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host or "0.0.0.0", None)}
    except OSError:
        # What can't be resolved can't be listened on either; that error is the clearer one.
        return True
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses)
