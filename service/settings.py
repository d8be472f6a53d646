"""Settings, read from the environment (`OUTFIELDER_*`). None is read at import; a composition root makes one."""

import hashlib
import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.api_keys import read_key_file, read_keys
from service.database_url import read_database_url
from service.storage.object_url import check_url

_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#]+")
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# What the API is left, and the part of the rest that jobs share: the system and their own processes need some too.
API_BYTES = 2**30
JOBS_SHARE = 0.8
LEAST_JOB_BYTES = 5 * 2**29


def count_cores() -> int:
    """The cores that this process may use; what a container's quota takes off them is not seen."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measure_memory() -> int:
    """The bytes of memory that this process may come to use: the machine's, or less where a control group says so."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _MEMORY_LIMITS:
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):
            # No such control group, or one without a limit: "max".
            continue
    return min(limits)


def share_memory(n_jobs: int) -> int:
    """What a job may take: its part of most of the memory, but no less than the chapter's models need."""
    return max(LEAST_JOB_BYTES, int((measure_memory() - API_BYTES) * JOBS_SHARE / n_jobs))


class Settings(BaseSettings):
    """All settings of the API, the worker and the command line."""

    model_config = SettingsConfigDict(env_prefix="OUTFIELDER_", frozen=True, extra="ignore", hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="The address that the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="The port that the API listens on; 0 takes a free one.")
    root_path: str = Field(
        "", description="The path below which a proxy publishes the API, such as `/forecasts`; it may strip it or not."
    )
    cors_origins: str = Field(
        "",
        description="Comma-separated origins whose pages may call the API, or `*`; with none, no page may.",
    )
    keep_alive_seconds: int = Field(
        # Longer than the common proxies keep theirs (nginx, AWS and Google 60 s): who closes first loses no request.
        75,
        ge=1,
        le=3600,
        description="How long an idle connection stays open; longer than a proxy in front keeps its own.",
    )
    allowed_hosts: str = Field(
        "",
        description="Comma-separated names by which clients may reach an API without keys, beside those of loopback.",
    )
    max_connections: int = Field(
        2000, ge=1, le=100_000, description="The most connections of one API process; idle ones make room for new ones."
    )
    max_header_bytes: int = Field(2**16, ge=1024, le=2**24, description="The largest block of headers of a request.")
    read_seconds: float = Field(
        10,
        gt=0,
        le=3600,
        description="How long a client may take for a request's headers, and for each further 10 kB of its body.",
    )
    write_seconds: float = Field(
        20, gt=0, le=3600, description="How long a client may leave an answer unread before it is cut off."
    )
    max_in_flight_bytes: int = Field(
        # The largest body, and all that it may become.
        320 * 2**20,
        ge=2**20,
        description="The most memory that all request bodies and answers of one API process may hold together.",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How log lines are written: `text` for people, `json` for machines, one object a line."
    )
    models_store: Path | str = Field(
        Path("models_store"),
        description="The folder of trained models, or the URL of an object store that many machines share, such as "
        "`s3://bucket/prefix`.",
    )
    keep_versions: int | None = Field(
        None,
        ge=1,
        description="The most versions of a model that a training leaves, the oldest going first; those that an alias "
        "names stay. By default all stay.",
    )
    state_dir: Path = Field(
        Path(".outfielder"), description="The folder of the embedded job database, job logs and caches."
    )
    sources: str = Field(
        "",
        description="Comma-separated folders of object stores, such as `s3://bucket/exports`, whose files schedules "
        "may train on.",
    )
    database_url: str | None = Field(
        None,
        # It may hold a password.
        repr=False,
        description="URL of the job database; by default an SQLite file in the state folder. "
        "`postgresql://user:password@host/database` is one that many machines share.",
    )
    api_keys: str = Field("", description="Comma-separated API keys; unset or empty, the API asks for no key.")
    api_keys_file: Path | None = Field(
        None, description="A file of API keys, one a line; lines that begin with `#` are comments."
    )
    starter_models: str = Field(
        "all",
        description="What `outfielder up` trains first when the store is empty: `all`, `none`, or names.",
    )
    pretrained: bool = Field(
        True,
        description="Whether a store that lacks the zero-shot model of the package gets it, also beside that of an "
        "earlier package.",
    )
    engine: Literal["auto", "savedmodel", "onnx"] = Field(
        "auto", description="The engine that runs the models; `auto` is the fastest that can run a version."
    )
    preload: str = Field("", description="Comma-separated models to load and warm before the API is ready.")
    max_horizon: int = Field(1000, ge=1, le=100_000, description="The most steps ahead that a request may ask for.")
    max_body_bytes: int = Field(128 * 2**20, ge=1024, description="The largest request body, after decompression.")
    max_body_values: int = Field(
        10_000_000, ge=1000, description="The most values that the series of one request body may hold."
    )
    max_body_series: int = Field(200_000, ge=1, description="The most series that one request body may hold.")
    max_upload_bytes: int = Field(2**31, ge=1024, description="The largest upload, after decompression.")
    uploads_quota_bytes: int | None = Field(
        None,
        ge=1024,
        description="The most bytes that uploads and kept series may take on disk together; by default those of ten of "
        "the largest uploads.",
    )
    max_dataset_points: int = Field(
        100_000_000,
        ge=1,
        description="The most points that an upload may hold, gaps included; of files that have to be read whole at "
        "most 20 million.",
    )
    max_dataset_series: int = Field(200_000, ge=1, description="The most series that an upload may hold.")
    dataset_days: float = Field(30, gt=0, description="Days after which an upload that nobody has used is removed.")
    queue_limit: int = Field(1000, ge=1, description="The most forecasts, and the most jobs, that may wait.")
    workers: int = Field(1, ge=1, le=256, description="API processes that share the port, for more cores.")
    jobs: int = Field(
        # A small network's fit gains nothing from a second core, and each worker takes memory.
        default_factory=lambda: min(2, count_cores()),
        ge=1,
        le=64,
        description="Jobs that a machine's worker runs at once, each in a process and with a share of the cores.",
    )
    job_memory_bytes: int | None = Field(
        None,
        ge=2**29,
        description="The most memory that a job may take; a training that would take more is refused.",
    )
    max_job_seconds: float = Field(
        172_800, gt=0, description="Seconds after which a job that still runs is ended, whatever it is at."
    )
    job_days: float = Field(30, gt=0, description="Days after which a job that has ended is removed.")
    max_watchers: int = Field(
        1000, ge=1, description="The most streams of jobs' events that one API process serves at a time."
    )
    max_answer_values: int = Field(
        10_000_000,
        ge=1000,
        description="The most numbers that the answer to one forecast request may hold; a time stamp counts as four.",
    )
    max_series_length: int = Field(
        100_000, ge=1000, description="The most points of one series, for models that read a series whole."
    )
    backtest_inline_points: int = Field(
        10_000, ge=0, description="The most points of a backtest that is answered at once; beyond, it is a job."
    )
    drain_seconds: float = Field(
        0.5, ge=0, le=3600, description="How long a stopping API says that it is not ready before it stops listening."
    )
    max_loaded_models: int = Field(
        64, ge=1, description="The most model versions that one API process keeps in memory."
    )

    @field_validator("root_path")
    @classmethod
    def _read_root_path(cls, value: str) -> str:
        path = value.strip().rstrip("/")
        if path and not _ROOT_PATH.fullmatch(path):
            raise ValueError("expected a path such as /forecasts, without spaces, '?' and '#'")
        return path

    @field_validator("cors_origins")
    @classmethod
    def _check_cors_origins(cls, value: str) -> str:
        for origin in _split(value):
            if origin != "*" and not _ORIGIN.fullmatch(origin.rstrip("/")):
                raise ValueError(f"{origin!r} is no origin: expected one such as https://shop.example.com, or *")
        return value

    @field_validator("models_store", mode="before")
    @classmethod
    def _read_models_store(cls, value: object) -> object:
        if not isinstance(value, str) or "://" not in value:
            return Path(value) if isinstance(value, str) else value
        url = check_url(value)
        # A folder by its URL is shared as any other folder is.
        return Path(unquote(urlsplit(url).path)) if url.startswith("file:") else url

    @field_validator("sources")
    @classmethod
    def _check_sources(cls, value: str) -> str:
        for url in _split(value):
            check_url(url)
        return value

    @field_validator("database_url")
    @classmethod
    def _read_database_url(cls, value: str | None) -> str | None:
        return read_database_url(value) if value is not None and value.strip() else None

    @field_validator("api_keys")
    @classmethod
    def _check_api_keys(cls, value: str) -> str:
        if value:
            read_keys(value)
        return value

    @property
    def cors_origin_names(self) -> tuple[str, ...]:
        """The origins as browsers send them."""
        return tuple(origin.rstrip("/") for origin in _split(self.cors_origins))

    @property
    def allowed_host_names(self) -> tuple[str, ...]:
        return _split(self.allowed_hosts.lower())

    @property
    def models_folder(self) -> Path:
        """The folder that processes read models from: the store's, or this machine's copy of an object store."""
        if isinstance(self.models_store, Path):
            return self.models_store
        return self.state_dir / "store-cache" / hashlib.sha256(self.models_store.encode()).hexdigest()[:16]

    @property
    def source_urls(self) -> tuple[str, ...]:
        return tuple(map(check_url, _split(self.sources)))

    @property
    def logs_json(self) -> bool:
        return self.log_format == "json"

    @property
    def job_database_url(self) -> str:
        """The job database, with the embedded default filled in."""
        if self.database_url is not None:
            return self.database_url
        return f"sqlite:///{(self.state_dir / 'jobs.sqlite').absolute()}"

    @property
    def each_job_bytes(self) -> int:
        """The most memory that a job may take, with the default filled in."""
        return share_memory(self.jobs) if self.job_memory_bytes is None else self.job_memory_bytes

    @property
    def all_uploads_bytes(self) -> int:
        """What uploads and kept series may take together, with the default filled in."""
        return 10 * self.max_upload_bytes if self.uploads_quota_bytes is None else self.uploads_quota_bytes

    @property
    def programs_dir(self) -> Path:
        """The folder of compiled training programs."""
        return self.state_dir / "programs"

    @property
    def checkpoints_url(self) -> str:
        """The object store, or the folder, of what jobs go on from after their process died."""
        if isinstance(self.models_store, str):
            # Where a worker of another host finds them.
            return f"{self.models_store}/.checkpoints"
        return (self.state_dir / "checkpoints").absolute().as_uri()

    @property
    def datasets_dir(self) -> Path:
        """The folder of uploads, and of series that jobs train on; or of this machine's copies of them."""
        if isinstance(self.models_store, Path):
            return self.state_dir / "datasets"
        return self.state_dir / "datasets-cache" / self.models_folder.name

    def all_api_keys(self) -> frozenset[str]:
        """The keys of both settings; none where neither is set.

        Raises:
            KeysUnusable: the key file can't be read, holds no key, or one that no client could send.
        """
        keys = read_keys(self.api_keys) if self.api_keys else frozenset()
        return keys if self.api_keys_file is None else keys | read_key_file(self.api_keys_file)

    @property
    def preload_names(self) -> tuple[str, ...]:
        return _split(self.preload)


def _split(value: str) -> tuple[str, ...]:
    return tuple(name for part in value.split(",") if (name := part.strip()))
