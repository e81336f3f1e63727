"""Settings as data: each has a name, a default and one sentence.

The setting ``database_url`` is read from the environment variable ``QUINTILE_DATABASE_URL``.
``docs/settings.md`` lists them; a test fails when one is missing there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from croniter import CroniterError, croniter

from service.core.errors import IncompleteInstallationError, InvalidSettingError

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_CRON_FIELDS = 5
_SECRETS_IN_ROTATION = 2
# 32 hexadecimal digits are 128 bits; at random, fewer than ten different ones never come.
_SHORTEST_SECRET = 32
_FEWEST_CHARACTERS = 10
_EXAMPLES = frozenset({"change-me", "changeme", "change_me", "secret", "password", "example"})
_HOW_TO_MAKE_ONE = "To make one: openssl rand -hex 32."
_KEYS = ("secret_key", "role_secret_key")
_HOW_TO_REPLACE_A_KEY = (
    f"{_HOW_TO_MAKE_ONE} To replace a secret key that is in use: set QUINTILE_FORMER_SECRET_KEY to"
    " it, run quintile migrate --reset-passwords, then quintile keys rotate."
)
_SHOP = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com", re.ASCII)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Read by the tests, not by the service.
_OTHER_VARIABLES = frozenset({"QUINTILE_CHROMIUM", "QUINTILE_REQUIRE_ALL_TESTS"})

_CHECKOUT = Path(__file__).resolve().parents[2]
_PACKAGED = Path(__file__).resolve().parents[1] / "project"

# The directory of the dbt project and the migrations: a checkout, or a part of the wheel.
PROJECT_DIR = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def _default_home() -> Path:
    if PROJECT_DIR == _CHECKOUT:
        return _CHECKOUT / ".quintile"
    # What is installed is replaced by the next release, and need not be writable.
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "quintile"


def check_installation() -> None:
    """Refuse to work without the dbt project and the migrations.

    Raises:
        IncompleteInstallationError: They are not where this installation looks for them.
    """
    if not all((PROJECT_DIR / name).exists() for name in ("dbt_project.yml", "models", "sql")):
        raise IncompleteInstallationError(PROJECT_DIR)


def _setting(
    default: str | int, sentence: str, *, least: int | None = None, most: int | None = None
) -> Any:
    metadata = {"sentence": sentence, "least": least, "most": most, "is_secret": False}
    return field(default=default, metadata=metadata)


def _secret(sentence: str) -> Any:
    """A setting that is empty by default and that no log, page or error may show."""
    metadata = {"sentence": f"{sentence} Secret.", "least": None, "most": None, "is_secret": True}
    return field(default="", repr=False, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """All settings, read once at start-up."""

    database_url: str = _secret(
        "URL of the PostgreSQL database (15 or newer), as its admin; empty for the embedded "
        "PostgreSQL."
    )
    app_database_url: str = _secret(
        "URL for the service's role quintile_app; derived from QUINTILE_DATABASE_URL when empty."
    )
    transform_database_url: str = _secret(
        "URL for quintile_transform, the role of dbt and the worker; derived from "
        "QUINTILE_DATABASE_URL when empty."
    )
    secret_key: str = _secret(
        "Secret that signs sessions and derives the database roles' passwords, 32 characters at "
        "random or more; generated in QUINTILE_HOME when empty."
    )
    former_secret_key: str = _secret(
        "QUINTILE_SECRET_KEY as it was before, weak or not, while quintile keys rotate encrypts "
        "again what it has encrypted; used for nothing else."
    )
    role_secret_key: str = _secret(
        "Secret that derives the database roles' passwords instead of QUINTILE_SECRET_KEY; for "
        "migrations and workers only, so that the web service cannot derive them."
    )
    encryption_keys: str = _secret(
        "Keys that seal stored credentials, newest first, as id:base64,id:base64 with 32 bytes "
        "each; derived from QUINTILE_SECRET_KEY when empty."
    )
    home: str = _setting(
        str(_default_home()), "Directory of the embedded database and generated keys."
    )
    shopify_url: str = _setting(
        "https://{shop}", "Base URL of Shopify's Admin API; {shop} stands for the shop's domain."
    )
    shopify_api_version: str = _setting("2026-07", "Version of Shopify's Admin API.")
    shopify_client_id: str = _setting(
        "", "Client id of your Shopify app; needed to refresh access tokens that expire."
    )
    shopify_client_secret: str = _secret(
        "Client secret of your Shopify app, which signs webhooks and refreshes access tokens; "
        "during a rotation both secrets, newest first, separated by a comma. The secret of an app "
        "of one store only: example.myshopify.com=secret; no other store accepts it."
    )
    public_url: str = _setting(
        "",
        "Public https address of this service, such as https://quintile.example.com; used in "
        "sign-in links, and needed to subscribe to webhooks.",
    )
    run_days: int = _setting(
        90, "Days that finished runs are kept; the newest successful runs stay longer.", least=1
    )
    webhook_days: int = _setting(
        30, "Days that processed webhooks, the log of sent ones and finished jobs are kept."
    )
    segment_change_days: int = _setting(
        400,
        "Days that it is kept who entered and left Shopify segments and pulled lists, and who was "
        "added to promo codes and removed.",
    )
    privacy_export_days: int = _setting(
        30, "Days that the export of a data request can be downloaded."
    )
    shopify_bulk_from: int = _setting(
        2000,
        "Number of orders or customers from which a sync uses a bulk operation instead of pages.",
    )
    shopify_bulk_patience_seconds: int = _setting(
        900,
        "Seconds that a bulk operation may wait for a free slot or make no progress before its "
        "rows are read in pages.",
    )
    shopify_metafields_bulk_from: int = _setting(
        1000,
        "Number of customers from which changed metafields are sent to Shopify in a bulk mutation "
        "instead of in calls of 25.",
    )
    shopify_compare_hours: int = _setting(
        24,
        "Hours between comparisons of all ids with the shop's, which find deleted records; 0 for "
        "never.",
    )
    notify_private_addresses: int = _setting(
        0,
        "1 allows outgoing webhooks to http addresses and private networks; 0 allows only https "
        "addresses on the internet.",
        least=0,
        most=1,
    )
    klaviyo_url: str = _setting("https://a.klaviyo.com", "Base URL of Klaviyo's API.")
    klaviyo_revision: str = _setting("2026-10-15", "Revision of Klaviyo's API.")
    klaviyo_events_bulk_from: int = _setting(
        10, "Number of events from which Klaviyo gets them in a bulk job instead of one call each."
    )
    klaviyo_event_days: int = _setting(
        30, "Days that events are kept after they were sent to Klaviyo."
    )
    klaviyo_removal_share: int = _setting(
        20, "Percentage of a list that a sync may remove without approval.", least=0, most=100
    )
    klaviyo_removal_from: int = _setting(
        100,
        "Size of a list, in profiles, up to which a sync may remove any number without approval.",
    )
    promo_code_customers: int = _setting(
        5000,
        "Most customers of one promo code; a code for Shopify's own segments only has no limit.",
        least=1,
    )
    host: str = _setting("127.0.0.1", "Address on which the web service listens.")
    port: int = _setting(8000, "Port on which the web service listens.", least=1, most=65535)
    web_processes: int = _setting(1, "Number of processes of the web service.", least=1)
    web_requests: int = _setting(
        128,
        "Requests that one web process works on at the same time; more are answered with 503 and "
        "Retry-After.",
        least=1,
    )
    metrics_token: str = _secret(
        "Bearer token that GET /metrics requires; when empty, only requests from this machine are "
        "answered."
    )
    metrics_tenant_names: int = _setting(
        0, "1 adds a label with the tenant's name to metrics; 0 leaves it out.", least=0, most=1
    )
    worker_metrics_host: str = _setting(
        "127.0.0.1", "Address on which a worker serves its metrics."
    )
    worker_metrics_port: int = _setting(
        0, "Port on which a worker serves its metrics; 0 for none.", least=0, most=65535
    )
    pool_size: int = _setting(10, "Maximum number of database connections of one process.")
    statement_timeout_ms: int = _setting(
        15000, "Maximum duration of a query of a web request, in milliseconds."
    )
    trusted_proxies: int = _setting(
        0,
        "Number of reverse proxies before the web service whose X-Forwarded-For and "
        "X-Forwarded-Proto are believed; a proxy on this machine is always believed about https.",
        least=0,
    )
    rate_limit_per_minute: int = _setting(
        30000,
        "Requests per minute that one token or session may make to one web process; 0 for any "
        "number.",
        least=0,
    )
    failed_logins_per_minute: int = _setting(
        30,
        "Invalid tokens and sign-in links per minute from one network address (of IPv6, the first "
        "64 bits) after which one web process answers them with 429; valid ones still work. 0 for "
        "any number.",
        least=0,
    )
    cors_origins: str = _setting(
        "",
        "Origins whose scripts may call the API from a browser with a token, such as "
        "https://admin.example.com, separated by spaces; none when empty.",
    )
    frame_ancestors: str = _setting(
        "",
        "Origins that may show the admin UI in a frame, separated by spaces; none when empty. "
        "Needs https.",
    )
    jwt_issuer: str = _setting(
        "",
        "Issuer (iss) of your platform's JSON Web Tokens; {shop} stands for the tenant's shop "
        "domain.",
    )
    jwt_audience: str = _setting("", "Audience (aud) of your platform's JSON Web Tokens.")
    jwt_tenant_claim: str = _setting(
        "tenant_id",
        "Claim that names the tenant: its id, its shop domain or a URL at that domain.",
    )
    jwt_scope: str = _setting(
        "read", "What JSON Web Tokens allow: read, write or admin; each includes those before it."
    )
    jwt_jwks_url: str = _setting(
        "", "Address of the platform's public keys (JWKS), for RS256 and ES256."
    )
    jwt_secret: str = _secret("Secret that your platform shares with the service, for HS256.")
    session_hours: int = _setting(12, "Duration of a sign-in to the admin UI, in hours.")
    dbt_threads: int = _setting(4, "Models that one dbt build computes at the same time.")
    dbt_idle_seconds: int = _setting(
        900,
        "Seconds that a worker keeps dbt in memory after a build, for the next one; 0 starts dbt "
        "for each build.",
    )
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
        "Time from which the next Klaviyo sync reads all list members again, to find people "
        "removed in Klaviyo (cron, UTC).",
    )
    schedule_housekeeping: str = _setting(
        "30 4 * * *", "When old webhooks, exports, runs and jobs are deleted (cron, UTC)."
    )
    worker_slots: int = _setting(
        6,
        "Jobs that one worker runs at the same time, at least 2; one slot is reserved for jobs "
        "that people request.",
        least=2,
    )
    worker_builds: int = _setting(
        2,
        "Number of these jobs that may be dbt builds, at least 2; one is reserved for builds that "
        "people request.",
        least=2,
    )
    worker_grace_seconds: int = _setting(
        30, "Seconds that a stopping worker lets its jobs run before it returns them to the queue."
    )
    run_attempts: int = _setting(
        5,
        "Maximum attempts of a run that fails for a transient reason or whose process dies.",
        least=1,
    )
    run_retry_seconds: int = _setting(
        15, "Approximate seconds before a run's first retry; each later wait is longer."
    )
    run_stale_seconds: int = _setting(
        120, "Seconds without a heartbeat after which a run's process counts as dead.", least=1
    )
    log_level: str = _setting(
        "INFO", "Minimum level of log lines: DEBUG, INFO, WARNING, ERROR or CRITICAL."
    )
    log_format: str = _setting("console", "Format of log lines: console or json.")

    @cached_property
    def home_dir(self) -> Path:
        """``home`` as an absolute path."""
        return Path(self.home).expanduser().resolve()


def environment_name(setting: str) -> str:
    """Name of the environment variable that sets a setting."""
    return f"QUINTILE_{setting.upper()}"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Raises:
        InvalidSettingError: A value has the wrong type or is out of range.
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


def public_address(settings: Settings) -> str:
    """The service's public address without a slash at its end; empty if it is not set.

    Raises:
        InvalidSettingError: It is not an https URL.
    """
    base = settings.public_url.strip().rstrip("/")
    if not base:
        return ""
    parts = urlsplit(base)
    is_local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not (parts.scheme == "https" or is_local) or not parts.hostname or parts.query:
        raise InvalidSettingError(
            "QUINTILE_PUBLIC_URL must be an https:// address.",
            advice="For example https://quintile.example.com. Shopify delivers to https only.",
        )
    return base


def client_secrets(settings: Settings, shop: str = "") -> list[str]:
    """The client secrets of the Shopify app that serves a shop, newest first.

    A shop with secrets of its own has a custom app, whose secrets serve no other shop, and the
    secrets of the other shops' app do not serve it.
    """
    found = _client_secrets(settings)
    return found.get(shop) or found.get("", [])


def _client_secrets(settings: Settings) -> dict[str, list[str]]:
    """The secrets by shop; those of the shared app under an empty name."""
    found: dict[str, list[str]] = {}
    for part in settings.shopify_client_secret.split(","):
        before, is_bound, after = (text.strip() for text in part.partition("="))
        shop, secret = (before.lower(), after) if is_bound else ("", before)
        if secret:
            found.setdefault(shop, []).append(secret)
    return found


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Variables with the prefix ``QUINTILE_`` that are no setting, probably misspelt."""
    environ = os.environ if environ is None else environ
    known = {environment_name(item.name) for item in fields(Settings)} | _OTHER_VARIABLES
    return sorted(name for name in environ if name.startswith("QUINTILE_") and name not in known)


def _check(settings: Settings) -> None:
    _check_secrets(settings)
    _check_client_secrets(settings)
    if settings.log_format not in ("console", "json"):
        raise InvalidSettingError("QUINTILE_LOG_FORMAT must be console or json.")
    if settings.log_level.upper() not in _LOG_LEVELS:
        raise InvalidSettingError(f"QUINTILE_LOG_LEVEL must be one of {', '.join(_LOG_LEVELS)}.")
    for item in fields(Settings):
        name, value = environment_name(item.name), getattr(settings, item.name)
        least, most = item.metadata["least"], item.metadata["most"]
        if most is not None and not least <= value <= most:
            raise InvalidSettingError(f"{name} must be from {least} to {most}.")
        if least is not None and value < least:
            raise InvalidSettingError(f"{name} must be at least {least}.")
        if item.name.startswith("schedule_") and not _is_cron(value):
            raise InvalidSettingError(
                f"{name} is not a cron expression.",
                advice="It has five fields, for example 0 3 * * * for three o'clock.",
            )


def _check_secrets(settings: Settings) -> None:
    """Refuse a secret that somebody could guess: it signs sessions and derives passwords."""
    for item in fields(Settings):
        # The former key may be weak: that is why it is replaced.
        if item.name == "former_secret_key" or not item.metadata["is_secret"]:
            continue
        if getattr(settings, item.name).lower() in _EXAMPLES:
            raise InvalidSettingError(
                f"{environment_name(item.name)} is an example, which everybody knows.",
                advice=_HOW_TO_MAKE_ONE if item.name not in _KEYS else _HOW_TO_REPLACE_A_KEY,
            )
    for name in _KEYS:
        key = getattr(settings, name)
        if key and (len(key) < _SHORTEST_SECRET or len(set(key)) < _FEWEST_CHARACTERS):
            raise InvalidSettingError(
                f"{environment_name(name)} can be guessed: it needs 32 characters at random.",
                advice=_HOW_TO_REPLACE_A_KEY,
            )


def _check_client_secrets(settings: Settings) -> None:
    name, found = environment_name("shopify_client_secret"), _client_secrets(settings)
    if len(found.get("", [])) > _SECRETS_IN_ROTATION:
        raise InvalidSettingError(
            f"{name} has more than two secrets without a shop.",
            advice="One app has one secret, and two during a rotation. Bind the secret of an app of"
            " one store to it: example.myshopify.com=secret",
        )
    for shop in found:
        if shop and not _SHOP.fullmatch(shop):
            raise InvalidSettingError(
                f"{name} binds a secret to something that is not a shop's domain.",
                advice="Write it as example.myshopify.com=secret, without https.",
            )


def _is_cron(text: str) -> bool:
    """Whether a text is a cron expression of five fields that matches some time.

    croniter accepts more: seconds, years, random times, and dates that never come (30 February).
    """
    if len(text.split()) != _CRON_FIELDS or not croniter.is_valid(text):
        return False
    try:
        croniter(text).get_next()
    except CroniterError:
        return False
    return True
