"""What an operator decides: from flags, the environment, a YAML file and defaults, in this order.

Secrets have no flags. They come from the environment or from files; a settings
file that holds one may be read by its owner alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from sxdask.core.errors import RequestError, close_names
from sxdask.requests.quantity import parse_bytes
from sxdask.service.addresses import is_loopback
from sxdask.service.transforms.limits import EngineLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "SXDASK_SERVICE_"
_LEAST_SECRET: Final = 32
_NOT_LIMITS: Final = {"allow_python", "places"}  # settings of their own


def default_data_dir() -> Path:
    """Return where a service keeps what it has to (``XDG_DATA_HOME`` is honoured)."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "sxdask-service"


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError("write a URL like https://host:port, without credentials")
    return text.rstrip("/")


def _size(text: str) -> str:
    try:
        parse_bytes(text)
    except RequestError as error:
        raise ValueError(error.problem) from None
    return text


def _known_limits(value: Any) -> Any:
    names = set(EngineLimits.__dataclass_fields__) - _NOT_LIMITS
    for name in value if isinstance(value, dict) else ():
        if name not in names:
            hint = close_names(str(name), names) or f"there are {', '.join(sorted(names))}"
            raise ValueError(f"there is no limit {name!r}: {hint}")
    return value


def _names(value: Any) -> Any:
    """Let a list be written in one line of the environment, as a,b,c."""
    if not isinstance(value, str):
        return value
    return [item.strip() for item in value.split(",") if item.strip()]


Names = Annotated[list[str], NoDecode, BeforeValidator(_names)]
Url = Annotated[str, AfterValidator(_url)]
Size = Annotated[str, AfterValidator(_size)]


class ServiceSettings(BaseSettings):
    """Settings of one service; names in files as here, in the environment with a prefix."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", hide_input_in_errors=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(5000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    public_url: Url | None = Field(None, description="Where users reach it, if not at host:port.")
    proxies: str = Field("127.0.0.1", description="Proxies whose X-Forwarded headers count.")
    tls_cert: Path | None = Field(None, description="Certificate chain (PEM).")
    tls_key: Path | None = Field(None, description="Its private key (PEM).")
    data_dir: Path = Field(
        default_factory=default_data_dir, description="Database, keys, logs and embedded results."
    )

    auth: bool = Field(default=False, description="Ask everybody for a token.")
    insecure: bool = Field(default=False, description="Let other machines in without tokens.")
    token_secret: SecretStr | None = Field(
        None, description="Signs tokens; by default one is made and kept in data_dir."
    )
    token_secret_file: Path | None = Field(None, description="The file that holds it.")
    admins: Names = Field(
        default_factory=list, description="Who administrates: subjects, e-mail addresses, @domains."
    )
    approved: Names = Field(
        default_factory=list, description="Who need not wait for approval, as in admins."
    )
    approve_all: bool = Field(default=False, description="Let in all whom the provider knows.")
    oidc_url: Url | None = Field(None, description="Metadata of an OpenID Connect provider.")
    oidc_client_id: str = Field("", description="What the provider knows this service as.")
    oidc_client_secret: SecretStr | None = Field(None, description="The secret shared with it.")
    oidc_client_secret_file: Path | None = Field(None, description="The file that holds it.")

    database_url: SecretStr | None = Field(
        None, description="postgresql://user@host/name; by default SQLite in data_dir."
    )
    database_url_file: Path | None = Field(None, description="The file that holds it.")

    s3_endpoint: Url | None = Field(
        None, description="S3 for results; by default SeaweedFS is started beside the service."
    )
    s3_public_endpoint: Url | None = Field(None, description="Where clients reach it.")
    s3_region: str = Field("us-east-1", description="Region of the buckets.")
    s3_signature: Literal["v2", "v4"] = Field("v2", description="How URLs of results are signed.")
    s3_access_key: SecretStr | None = Field(None, description="Key of the service.")
    s3_access_key_file: Path | None = Field(None, description="The file that holds it.")
    s3_secret_key: SecretStr | None = Field(None, description="Its secret.")
    s3_secret_key_file: Path | None = Field(None, description="The file that holds it.")
    s3_reader_key: SecretStr | None = Field(None, description="Key that clients get.")
    s3_reader_key_file: Path | None = Field(None, description="The file that holds it.")
    s3_reader_secret: SecretStr | None = Field(None, description="Its secret.")
    s3_reader_secret_file: Path | None = Field(None, description="The file that holds it.")
    s3_worker_profile: str = Field(
        "", description="Profile that workers of a cluster elsewhere have credentials under."
    )
    volume: Path | None = Field(None, description="Folder for results, mounted on all workers.")
    volume_url: str = Field("", description="What serves that folder to users.")

    cluster: str = Field("local", description="Where to run: local, a name, or tcp://host:port.")
    workers: int | None = Field(None, ge=1, description="Worker processes.")
    cluster_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the cluster, without secrets."
    )

    roots: Names = Field(
        default_factory=list,
        description="Directories and URL prefixes that may be read beside public hosts.",
    )
    hosts: Names = Field(
        default_factory=list, description="Hosts that may be read though they are not public."
    )
    schemes: Names = Field(
        default_factory=lambda: ["rucio", "cernopendata", "xrootd", "catalog"],
        description="DIDs that are looked up.",
    )
    default_scheme: str = Field("rucio", description="Of a DID without a scheme.")
    max_files: int = Field(100_000, ge=1, description="Most files in one list.")
    max_selection: Size = Field("1 MiB", description="Longest selection.")
    lookups: int = Field(4, ge=1, description="Datasets that are looked up at a time.")
    lookup_seconds: float = Field(600.0, gt=0, description="How long a catalogue may say nothing.")
    allow_python: bool = Field(default=False, description="Run Python functions that clients send.")
    limits: Annotated[EngineLimits, BeforeValidator(_known_limits)] = Field(
        default_factory=EngineLimits, description="Files at a time, seconds, tries."
    )

    keep_days: float = Field(30.0, gt=0, description="Unused results go after so many.")
    keep_bytes: Size | None = Field(None, description="Most results; the longest unused go first.")
    dataset_hours: float = Field(24.0, gt=0, description="How long a lookup is good.")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least that is logged."
    )
    log_url: Url | None = Field(None, description="Collector of logs, such as .../_bulk.")
    log_authorization: SecretStr | None = Field(None, description="Header of requests to it.")
    log_authorization_file: Path | None = Field(None, description="The file that holds it.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let flags go before the environment, and that before the file."""
        assert isinstance(init_settings, InitSettingsSource)  # noqa: S101  what it is documented as
        given = dict(init_settings.init_kwargs)
        in_file = given.pop("in_file", {})
        return (
            InitSettingsSource(settings_cls, given),
            env_settings,
            InitSettingsSource(settings_cls, in_file),
        )

    @model_validator(mode="after")
    def _read_secrets(self) -> Self:
        for name in SECRETS:
            file = getattr(self, f"{name}_file")
            if file is None or getattr(self, name) is not None:
                continue
            try:
                text = file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"{name}_file: {file} cannot be read: {error}") from None
            setattr(self, name, SecretStr(text))
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for problem in _contradictions(self):
            raise ValueError(problem)
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.host)

    @property
    def embeds_store(self) -> bool:
        """Whether an object store is started beside the service."""
        return self.s3_endpoint is None

    def secret(self, name: str) -> str:
        """Return a secret, empty if there is none."""
        found: SecretStr | None = getattr(self, name)
        return "" if found is None else found.get_secret_value()


SECRETS: Final = tuple(
    name for name in ServiceSettings.model_fields if f"{name}_file" in ServiceSettings.model_fields
)
"""Names of settings that are secrets; each has a second one for the file that holds it."""


def _contradictions(settings: ServiceSettings) -> list[str]:
    """Return what does not go together, each with what to do."""
    keys = [bool(settings.secret(f"s3_{name}")) for name in ("access_key", "secret_key")]
    reader = [bool(settings.secret(f"s3_{name}")) for name in ("reader_key", "reader_secret")]
    secret = settings.secret("token_secret")
    is_open = not settings.is_local
    found = {
        "tls_cert and tls_key go together: give both": bool(settings.tls_cert)
        != bool(settings.tls_key),
        f"host {settings.host!r} lets other machines in without a token: set auth, "
        "or insecure if it is meant": is_open and not settings.auth and not settings.insecure,
        "s3_endpoint needs s3_access_key and s3_secret_key: set both, or their _file": not all(keys)
        and not settings.embeds_store,
        "s3_access_key is for an S3 of your own: set s3_endpoint as well": any(keys + reader)
        and settings.embeds_store,
        "s3_reader_key and s3_reader_secret go together: give both": any(reader)
        and not all(reader),
        f"host {settings.host!r} is for other machines, and results would lie on this one alone: "
        "set s3_endpoint, or s3_public_endpoint of a proxy": is_open
        and settings.embeds_store
        and settings.s3_public_endpoint is None,
        "the embedded object store is on this machine alone, where workers of another one "
        "cannot write: set s3_endpoint": settings.embeds_store and settings.cluster != "local",
        f"token_secret has fewer than {_LEAST_SECRET} characters: openssl rand -hex 32": 0
        < len(secret)
        < _LEAST_SECRET,
        "oidc_url needs oidc_client_id: set it": bool(settings.oidc_url)
        and not settings.oidc_client_id,
        "oidc_url is for auth: set it as well": bool(settings.oidc_url) and not settings.auth,
    }
    return [problem for problem, is_so in found.items() if is_so]


def load_service_settings(
    file: Path | None = None, environ: Mapping[str, str] | None = None, **flags: Any
) -> ServiceSettings:
    """Return the settings; `flags` that are None are not given.

    Raises
    ------
    RequestError
        With one line for each mistake, which says what to do.
    """
    from sxdask.service.settings_file import read_settings_file

    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    if file is not None:
        given["in_file"] = read_settings_file(file, ServiceSettings.model_fields, SECRETS)
    _require_known_variables(os.environ if environ is None else environ)
    try:
        return ServiceSettings(**given)
    except ValidationError as error:
        raise _mistakes(error, file) from None
    except SettingsError as error:
        name = str(error).partition('"')[2].partition('"')[0]
        raise RequestError(
            f"{PREFIX}{name.upper()} is no JSON", hint='write it like {"name": value}'
        ) from None


def _require_known_variables(environ: Mapping[str, str]) -> None:
    known = list(ServiceSettings.model_fields)
    for variable in environ:
        name = variable.removeprefix(PREFIX).lower().partition("__")[0]
        if variable.startswith(PREFIX) and name not in known:
            raise RequestError(
                f"the environment has {variable}, and there is no setting {name!r}",
                hint=close_names(name, known) or "see docs/how-to/service.md",
            )


def _mistakes(error: ValidationError, file: Path | None) -> RequestError:
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in item["loc"])
        text = item["msg"].removeprefix("Value error, ")
        lines.append(f"{place}: {text}" if place else text)
    where = "" if file is None else f" (with {file})"
    head = f"the settings of the service cannot be used{where}: "
    return RequestError(
        head + ("; ".join(lines) if len(lines) == 1 else "\n  " + "\n  ".join(lines)),
        hint="see docs/how-to/service.md, and try: sxdask serve --check",
    )
