"""Protects a server without API keys from web pages in a browser on its machine.

A page of any site can send requests to addresses of this machine, and have its own name resolve to one (DNS rebinding).
So the name that a request was sent to must be one of this service, and the page that sent it one of its own, or of an
origin that the settings allow. Programs other than browsers send no Origin, and need none.
"""

import ipaddress
from collections.abc import Collection
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.problems import make_error_problem
from service.domain.json_flaws import describe
from service.errors import HostRefused, OriginRefused, ServiceError, UnsupportedMediaType

LONGEST_HOST = 300
KNOWN_HOSTS = 256
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# A monitor asks by whatever name it knows; they say nothing but whether the service is there.
PROBES = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
# What a page can send without asking: the media types of forms.
FORMS = (b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain")
# They refuse forms themselves, and say what to send.
READERS = frozenset({"/forecast", "/anomalies", "/backtest", "/activations", "/train", "/datasets"})
# Other servers' protocols, which change nothing here, and whose documented calls with curl are sent as forms.
PROTOCOLS = ("/v1/models/", "/v1/timeseries/", "/v2/models/", "/v2/repository/")
# What browsers call a request that another page caused.
FOREIGN_SITES = frozenset({b"cross-site", b"same-site"})


class OriginMiddleware:
    """Refuses requests to other hosts, and those that pages of other origins send."""

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str], origins: Collection[str], accepts_addresses: bool
    ) -> None:
        """Args:
        hosts: names that are served beside those of loopback.
        origins: pages that may call the service, or `*`.
        accepts_addresses: whether any IP address is served, as where the service listens beyond loopback: no page
            of another site can have one for its name.
        """
        self._app = app
        self._origins = {origin.encode("latin-1", "replace") for origin in origins}
        self._accepts_addresses = accepts_addresses
        self._hosts = frozenset(hosts)
        self._is_ours = lru_cache(KNOWN_HOSTS)(self._judge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = None if scope["path"] in PROBES else self._find_fault(scope)
        if error is None:
            await self._app(scope, receive, send)
        else:
            await make_error_problem(error, scope["state"]["request_id"])(scope, receive, send)

    def _find_fault(self, scope: Scope) -> ServiceError | None:
        hosts, origin, site, mode, media_type = [], None, None, b"", b""
        for name, value in scope["headers"]:
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
            elif name == b"content-type":
                media_type = value
        # HTTP/1.0 knows no Host; no browser speaks it.
        if len(hosts) != 1 and (hosts or scope["http_version"] != "1.0"):
            return HostRefused("Expected one header Host.")
        if hosts and not (len(hosts[0]) <= LONGEST_HOST and self._is_ours(hosts[0])):
            return HostRefused(
                f"This server has no API keys, and serves no host {describe(hosts[0].decode('latin-1'))}: expected a "
                "name of this machine, such as localhost. Add it to OUTFIELDER_ALLOWED_HOSTS on the server, or set "
                "OUTFIELDER_API_KEYS."
            )
        if self._origins & {b"*", origin} or (origin is None and site not in FOREIGN_SITES):
            pass
        elif scope["method"] == "OPTIONS":
            # A browser's question whether a page may call, which is answered by the routes: no.
            pass
        elif origin is not None:
            if not hosts or not _is_same(origin, hosts[0]):
                return _refuse_page(describe(origin.decode("latin-1")))
        elif mode != b"navigate" or scope["method"] not in SAFE_METHODS:
            # A link that is followed is a navigation: what it opens is no business of the page that had it.
            return _refuse_page("another site")
        if scope["method"] in SAFE_METHODS or scope["path"] in READERS or scope["path"].startswith(PROTOCOLS):
            return None
        if media_type.split(b";")[0].strip().lower() in FORMS:
            return UnsupportedMediaType(
                f"Expected no form, got {describe(media_type.decode('latin-1'))}: pages of other sites could send it. "
                "Send JSON with Content-Type: application/json, or no body and no Content-Type."
            )
        return None

    def _judge(self, host: bytes) -> bool:
        """Whether the value of a Host header names this service."""
        name = _name(host.decode("latin-1").lower())
        if name in self._hosts or "*" in self._hosts or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self._accepts_addresses


def _name(host: str) -> str:
    """A host without its port, its brackets and the dot that may end it."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def _is_same(origin: bytes, host: bytes) -> bool:
    scheme, separator, given = origin.lower().partition(b"://")
    if not separator or scheme not in (b"http", b"https"):
        return False
    usual = b":80" if scheme == b"http" else b":443"
    return given.removesuffix(usual) == host.lower().removesuffix(usual)


def _refuse_page(page: str) -> OriginRefused:
    return OriginRefused(
        f"A page of {page} may not call this server, which has no API keys. Add its origin to OUTFIELDER_CORS_ORIGINS "
        "on the server."
    )
