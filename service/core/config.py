"""Settings as data: each has a name, a default and one sentence.

A setting ``database_url`` is read from the environment variable ``QUINTILE_DATABASE_URL``.
``docs/settings.md`` lists them all; a test fails when one is missing there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from croniter import CroniterError, croniter

from service.core.errors import InvalidSettingError

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_RANGES = MappingProxyType(
    {
        "port": (1, 65535),
        "worker_metrics_port": (0, 65535),
        "metrics_tenant_names": (0, 1),
        "notify_private_addresses": (0, 1),
        "klaviyo_removal_share": (0, 100),
    }
)
_LEAST = MappingProxyType(
    {
        "web_processes": 1,
        # One of them is kept for people.
        "worker_slots": 2,
        "worker_builds": 2,
        "run_attempts": 1,
        "run_stale_seconds": 1,
        "run_days": 1,
    }
)
_CRON_FIELDS = 5
# Read by the tests, not by the service.
_OTHER_VARIABLES = frozenset({"QUINTILE_CHROMIUM", "QUINTILE_REQUIRE_ALL_TESTS"})

PROJECT_DIR = Path(__file__).resolve().parents[2]


def _setting(default: str | int, sentence: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"sentence": sentence, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """Everything that can be set, read once at start-up."""

    database_url: str = _setting(
        "",
        "PostgreSQL 15+ to use, as its admin; the embedded PostgreSQL when empty.",
        secret=True,
    )
    app_database_url: str = _setting(
        "",
        "How the service connects as quintile_app; derived from the database URL when empty.",
        secret=True,
    )
    transform_database_url: str = _setting(
        "",
        "How dbt and the worker connect as quintile_transform; derived when empty.",
        secret=True,
    )
    secret_key: str = _setting(
        "",
        "Signs sessions and derives the roles' passwords; generated under home when empty.",
        secret=True,
    )
    encryption_keys: str = _setting(
        "",
        "Key ring for stored credentials, newest first: id:base64,id:base64 with 32-byte keys; "
        "derived from the secret key when empty.",
        secret=True,
    )
    home: str = _setting(
        str(PROJECT_DIR / ".quintile"), "Where the embedded database and generated keys live."
    )
    shopify_url: str = _setting(
        "https://{shop}", "Base URL of Shopify's Admin API; {shop} stands for the shop's domain."
    )
    shopify_api_version: str = _setting("2026-07", "Version of Shopify's Admin API.")
    shopify_client_id: str = _setting(
        "", "Client id of your Shopify app; needed to refresh access tokens that expire."
    )
    shopify_client_secret: str = _setting(
        "",
        "Client secret of your Shopify app, newest first and comma-separated while it is replaced; "
        "it signs webhooks and refreshes access tokens that expire.",
        secret=True,
    )
    public_url: str = _setting(
        "",
        "Address under which Shopify reaches this service, such as https://quintile.example.com; "
        "needed to subscribe to webhooks.",
    )
    run_days: int = _setting(
        90, "How long runs are kept after they have ended, in days; the newest good ones stay."
    )
    webhook_days: int = _setting(
        30, "How long webhooks are remembered after they have been processed, in days."
    )
    privacy_export_days: int = _setting(
        30, "How long the answer to a data request can be fetched, in days."
    )
    shopify_bulk_from: int = _setting(
        2000, "How many orders or customers to read at once are worth a bulk operation."
    )
    shopify_bulk_patience_seconds: int = _setting(
        900,
        "How long a bulk operation may wait for a free place or get no further, in seconds, before"
        " its rows are paged instead.",
    )
    shopify_compare_hours: int = _setting(
        24,
        "How often all ids are compared with the shop's to notice what is gone, in hours;"
        " 0 for never.",
    )
    notify_private_addresses: int = _setting(
        0,
        "1 to let notifications of syncs go to http and to addresses of private networks; 0 for"
        " https on the internet only.",
    )
    klaviyo_url: str = _setting("https://a.klaviyo.com", "Base URL of Klaviyo's API.")
    klaviyo_revision: str = _setting("2026-07-15", "Revision of Klaviyo's API.")
    klaviyo_events_bulk_from: int = _setting(
        10, "How many events for Klaviyo's flows are worth a bulk job instead of a call each."
    )
    klaviyo_event_days: int = _setting(
        30, "How long events are remembered after Klaviyo has got them, in days."
    )
    klaviyo_removal_share: int = _setting(
        20, "Percentage of a list beyond which a sync asks before it takes people off."
    )
    klaviyo_removal_from: int = _setting(
        100, "How many profiles a list may have for a sync to take off any number without asking."
    )
    host: str = _setting("127.0.0.1", "Address the web service listens on.")
    port: int = _setting(8000, "Port the web service listens on.")
    web_processes: int = _setting(1, "Processes of the web service.")
    web_threads: int = _setting(8, "Requests one web process serves at once.")
    metrics_token: str = _setting(
        "",
        "Bearer token that GET /metrics asks for; when empty, metrics are for this machine only.",
        secret=True,
    )
    metrics_tenant_names: int = _setting(
        0, "Whether metrics may name tenants in a label: 1 for yes, 0 for no."
    )
    worker_metrics_host: str = _setting("127.0.0.1", "Address on which a worker shows its metrics.")
    worker_metrics_port: int = _setting(0, "Port on which a worker shows its metrics; 0 for none.")
    pool_size: int = _setting(10, "Database connections one process opens at most.")
    statement_timeout_ms: int = _setting(
        15000, "Longest a query of a web request may run, in milliseconds."
    )
    session_hours: int = _setting(12, "How long a sign-in to the admin UI lasts, in hours.")
    dbt_threads: int = _setting(4, "Models dbt builds at once.")
    schedule_segments: str = _setting(
        "0 */6 * * *", "When Shopify's segments and their members are synced (cron, UTC)."
    )
    schedule_orders: str = _setting(
        "45 * * * *", "When Shopify's customers and orders are synced (cron, UTC)."
    )
    schedule_build: str = _setting(
        "0 3 * * *", "When RFM and samples are built (cron, each tenant's own time zone)."
    )
    schedule_klaviyo: str = _setting("*/30 * * * *", "When Klaviyo lists are synced (cron, UTC).")
    schedule_klaviyo_members: str = _setting(
        "0 2 * * *",
        "From when on the next sync reads everybody on Klaviyo's lists, to notice who was taken off"
        " (cron, UTC).",
    )
    schedule_housekeeping: str = _setting(
        "30 4 * * *", "When old webhooks, exports, runs and jobs are deleted (cron, UTC)."
    )
    worker_slots: int = _setting(
        6, "Jobs one worker does at once, two at least; one of them is kept for people."
    )
    worker_builds: int = _setting(
        2,
        "Of these, the most that are dbt builds, two at least; one of them is kept for people.",
    )
    worker_grace_seconds: int = _setting(
        30, "How long a worker that is stopped lets its jobs run before it hands them back."
    )
    run_attempts: int = _setting(
        5, "How often a run is begun that fails for a reason that passes, or whose process dies."
    )
    run_retry_seconds: int = _setting(
        15, "About how long after its first failure a run is tried again; then ever longer."
    )
    run_stale_seconds: int = _setting(
        120, "Silence after which the process of a run is taken to be dead, in seconds."
    )
    log_level: str = _setting("INFO", "Least severe log level that is written.")
    log_format: str = _setting("console", "How log lines are written: console or json.")

    @cached_property
    def home_dir(self) -> Path:
        """Directory of everything that is generated on this machine."""
        return Path(self.home).expanduser().resolve()


def environment_name(setting: str) -> str:
    """Name of the environment variable that sets a setting."""
    return f"QUINTILE_{setting.upper()}"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Raises:
        InvalidSettingError: A value cannot be what the setting is.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for item in fields(Settings):
        name = environment_name(item.name)
        text = environ.get(name, "")
        if not text:
            continue
        if item.type == "int":
            try:
                values[item.name] = int(text)
            except ValueError:
                raise InvalidSettingError(f"{name} must be a whole number.") from None
        else:
            values[item.name] = text
    settings = Settings(**values)
    _check(settings)
    return settings


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Variables named like settings that are none: misspelt ones, most likely."""
    environ = os.environ if environ is None else environ
    known = {environment_name(item.name) for item in fields(Settings)} | _OTHER_VARIABLES
    return sorted(name for name in environ if name.startswith("QUINTILE_") and name not in known)


def _check(settings: Settings) -> None:
    if settings.log_format not in ("console", "json"):
        raise InvalidSettingError("QUINTILE_LOG_FORMAT must be console or json.")
    if settings.log_level.upper() not in _LOG_LEVELS:
        raise InvalidSettingError(f"QUINTILE_LOG_LEVEL must be one of {', '.join(_LOG_LEVELS)}.")
    for name, (least, most) in _RANGES.items():
        if not least <= getattr(settings, name) <= most:
            raise InvalidSettingError(f"{environment_name(name)} must be from {least} to {most}.")
    for name, least in _LEAST.items():
        if getattr(settings, name) < least:
            raise InvalidSettingError(f"{environment_name(name)} must be at least {least}.")
    for item in fields(Settings):
        if item.name.startswith("schedule_") and not _is_cron(getattr(settings, item.name)):
            raise InvalidSettingError(
                f"{environment_name(item.name)} is not a cron expression.",
                advice="It has five fields, for example 0 3 * * * for three o'clock.",
            )


def _is_cron(text: str) -> bool:
    """Whether this is a cron expression of five fields that names a time: 30 February never comes.

    croniter takes more: seconds, years and random times, which the schedules do not reckon with.
    """
    if len(text.split()) != _CRON_FIELDS or not croniter.is_valid(text):
        return False
    try:
        croniter(text).get_next()
    except CroniterError:
        return False
    return True
