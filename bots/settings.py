"""Settings: `settings.toml`, then the environment. Secrets come from the environment or from a file of their own."""

from __future__ import annotations

import os
import stat
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "IMPACTHUB_"
SECRETS_FILE = "IMPACTHUB_SECRETS_FILE"


class WrongSetting(Exception):  # noqa: N818 the setting is wrong, not the program
    """A setting cannot be used; the one sentence names its key."""


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"“{name}” is no time zone; write it like “Europe/Kyiv”")
    return name


Zone = Annotated[str, AfterValidator(_zone)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSettings(_Section):
    """The installation as a whole; `settings.toml` explains every key."""

    database: str = "sqlite:///state/hub.db"
    keys: str = "sqlite:///state/keys.db"
    state: Path = Path("state")
    first_admin: str = ""
    confidential: list[Literal["matrix", "discord"]] = ["matrix"]
    dictionaries: Path | None = None
    clock_shift: timedelta = timedelta()
    pace_burst: int = Field(20, ge=1)
    pace_seconds: float = Field(2.0, gt=0)
    log_level: Literal["info", "debug"] = "info"
    log_format: Literal["text", "json"] = "text"


class NetworkSettings(_Section):
    """One thematic network."""

    name: str
    language: str = "en"
    zone: Zone = "UTC"
    off: list[str] = []


class MatrixSettings(_Section):
    """One network's bot on Matrix."""

    homeserver: str
    user: str = Field(pattern=r"^@[^:\s]+:\S+$")
    room: str = ""
    coordinators: str = ""
    prefix: str = Field("!", pattern=r"^\S{1,8}$")


class DiscordSettings(_Section):
    """One network's application on Discord."""

    guild: int = Field(gt=0)
    channel: int | None = Field(None, gt=0)
    coordinators: int | None = Field(None, gt=0)
    roles: dict[Literal["member", "mentor"], str] = {}
    shard_count: int | None = Field(None, ge=1)
    shard_ids: list[int] | None = None

    @model_validator(mode="after")
    def _shards_are_among_all(self) -> DiscordSettings:
        if self.shard_ids is not None and (
            self.shard_count is None or not self.shard_ids or not set(self.shard_ids) <= set(range(self.shard_count))
        ):
            raise ValueError("shard_ids are numbers from 0 up to shard_count, which has to be set as well")
        return self


class AnswersSettings(_Section):
    """A model that writes answers out of the library's passages, if there is one."""

    base_url: str = Field("", pattern=r"^(https?://\S+)?$")
    model: str = ""
    timeout: float = Field(20.0, gt=0, le=120)
    most_tokens: int = Field(6_000, ge=1_000)
    answers_per_person: int = Field(20, ge=0)
    tokens_per_person: int = Field(60_000, ge=0)
    tokens_per_day: int = Field(500_000, ge=0)
    price_per_million: float = Field(0.0, ge=0)
    cost_per_day: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _names_a_model(self) -> AnswersSettings:
        if self.base_url and not self.model:
            raise ValueError("answers.model is missing: an address needs the name of a model")
        return self


class EmbeddingsSettings(_Section):
    """What turns texts into vectors, so that look-up finds what means alike, if there is anything."""

    kind: Literal["off", "local", "endpoint"] = "off"
    base_url: str = Field("", pattern=r"^(https?://\S+)?$")
    model: str = ""
    timeout: float = Field(30.0, gt=0, le=120)

    @model_validator(mode="after")
    def _names_a_model(self) -> EmbeddingsSettings:
        if self.kind == "endpoint" and not (self.base_url and self.model):
            raise ValueError("embeddings.base_url or embeddings.model is missing: an endpoint needs both")
        return self


class MatrixSecrets(_Section):
    """What one bot on Matrix must not tell."""

    password: SecretStr = SecretStr("")
    recovery_key: SecretStr = SecretStr("")


class DiscordSecrets(_Section):
    """What one application on Discord must not tell."""

    token: SecretStr = SecretStr("")


class Secrets(_Section):
    """What nobody but the running process may know."""

    master_key: SecretStr
    former_master_keys: list[SecretStr] = []
    matrix: dict[str, MatrixSecrets] = {}
    discord: dict[str, DiscordSecrets] = {}
    answers_key: SecretStr = SecretStr("")
    embeddings_key: SecretStr = SecretStr("")


class Settings(BaseSettings):
    """Everything that an operator chose."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", nested_model_default_partial_update=True
    )

    hub: HubSettings = HubSettings()
    networks: dict[str, NetworkSettings]
    matrix: dict[str, MatrixSettings] = {}
    discord: dict[str, DiscordSettings] = {}
    answers: AnswersSettings = AnswersSettings()
    embeddings: EmbeddingsSettings = EmbeddingsSettings()
    secrets: Secrets

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over what the files say."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def load(path: Path) -> Settings:
    """Read the settings' file, the secrets' file that the environment names, and the environment.

    Raises:
        WrongSetting: in one sentence with the key's name.
    """
    said = _read(path)
    if "secrets" in said:
        raise WrongSetting(f"{path}: [secrets] does not belong in this file; put it into the one {SECRETS_FILE} names.")
    secrets = os.environ.get(SECRETS_FILE)
    if secrets:
        said["secrets"] = _read_secrets(Path(secrets))
    try:
        settings = Settings(**said)
    except ValidationError as error:
        raise WrongSetting(f"{path}: {_sentence(error)}") from None
    for platform, bots in (("matrix", settings.matrix), ("discord", settings.discord)):
        for network in bots:
            if network not in settings.networks:
                raise WrongSetting(f"{path}: {platform}.{network}: there is no network “{network}”.")
    for network in settings.discord:
        if not settings.secrets.discord.get(network, DiscordSecrets()).token.get_secret_value():
            raise WrongSetting(f"secrets.discord.{network}.token: this secret is missing; Discord gives it to the bot.")
    return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WrongSetting(f"{path}: there is no such file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongSetting(f"{path}: this is not TOML: {error}.") from None


def _read_secrets(path: Path) -> dict[str, Any]:
    said = _read(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise WrongSetting(f"{path}: other people can read this file; make it private with `chmod 600`.")
    return said


def _sentence(error: ValidationError) -> str:
    """Turn the first complaint into one sentence. The value is left out: it may be a secret."""
    first = error.errors(include_input=False, include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "extra_forbidden":
            return f"{key}: there is no such setting."
        case "missing" if key.startswith("secrets"):
            key = "secrets.master_key" if key == "secrets" else key
            return f"{key}: this secret is missing; set {PREFIX}{key.upper().replace('.', '__')}, or {SECRETS_FILE}."
        case "missing":
            return f"{key}: this setting is missing."
        case "time_delta_parsing" | "time_delta_type":
            return f"{key}: this is no length of time; write it like “PT24H”."
        case _:
            return f"{key}: {first['msg'].removeprefix('Value error, ')}."
