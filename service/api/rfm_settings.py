"""``/api/admin/segments/rfm/settings``: your store's RFM settings."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import Field

from service.api.access import tenant_id, transaction
from service.api.audit_log import recording
from service.api.input_errors import explained
from service.api.schemas import WITHOUT_NUL, Instant, RequestModel, ResponseModel, Run
from service.core.db import Connection, one
from service.core.queries import query
from service.queue.enqueue import enqueue
from service.tenants import tenants

blueprint = APIBlueprint("rfm_settings", __name__, tag="Segments")

# A short list of exceptions; more belongs into the models.
_MOST_EXCLUSIONS = 1000
# Each build reads the orders once more for each of them.
_MOST_WINDOWS = 5
WindowDays = Annotated[int, Field(ge=1, le=3650)]
CustomerId = Annotated[str, Field(min_length=1, max_length=255, pattern=WITHOUT_NUL)]
Domain = Annotated[
    str,
    Field(min_length=3, max_length=253, pattern=WITHOUT_NUL),
    explained("A domain looks like example.com."),
]


class RfmSettings(ResponseModel):
    """RFM settings."""

    window_days: int = Field(description="Length of the RFM window in days.")
    time_zone: str = Field(description="IANA name of the time zone for whole days.")
    minimum_minor: int = Field(
        description="Minimum net value of a counted order, in minor units of the currency."
    )
    is_sample_counted: bool = Field(description="Whether samples with a net value count.")
    excluded_customer_ids: list[str] = Field(
        description="Customers to leave out, such as a connector's default customer."
    )
    excluded_domains: list[str] = Field(description="E-mail domains to leave out.")
    relay_domains: list[str] = Field(
        description="E-mail domains of marketplaces' relays, in addition to the known ones. Such"
        " customers are not scored and not sent to Klaviyo. Subdomains are included; * matches any"
        " text before the last two parts, as in relay*.example.com."
    )
    additional_window_days: list[int] = Field(
        description="Lengths in days of windows that are scored besides the RFM window, for"
        " comparison in marts.rfm_scores_by_window."
    )
    updated_at: Instant


class RfmSettingsChange(RequestModel):
    """The settings to change; omitted settings stay the same."""

    window_days: WindowDays | None = None
    time_zone: str | None = Field(None, max_length=64, pattern=WITHOUT_NUL)
    minimum_minor: int | None = Field(None, ge=0, le=10**15)
    is_sample_counted: bool | None = None
    excluded_customer_ids: list[CustomerId] | None = Field(None, max_length=_MOST_EXCLUSIONS)
    excluded_domains: list[Domain] | None = Field(None, max_length=_MOST_EXCLUSIONS)
    relay_domains: list[Domain] | None = Field(None, max_length=_MOST_EXCLUSIONS)
    additional_window_days: list[WindowDays] | None = Field(None, max_length=_MOST_WINDOWS)


class RfmSettingsSaved(ResponseModel):
    """The settings after the change, and the build that applies them."""

    settings: RfmSettings
    run: Run


@blueprint.get("/api/admin/segments/rfm/settings")
@blueprint.output(RfmSettings)
def show_rfm_settings() -> dict[str, Any]:
    """Get your store's RFM settings."""
    with transaction() as conn:
        return read_rfm_settings(conn, tenant_id())


@blueprint.patch("/api/admin/segments/rfm/settings")
@blueprint.input(RfmSettingsChange, arg_name="change")
@blueprint.output(RfmSettingsSaved, status_code=202)
def change_rfm_settings(change: RfmSettingsChange) -> dict[str, Any]:
    """Change RFM settings and start a build.

    A build that is already queued uses the new settings. If one is running, another is queued.
    """
    with transaction() as conn:
        with recording(conn, "rfm_settings.changed", read=lambda: _without_customers(conn)):
            tenants.change_rfm_settings(conn, tenant_id(), tenants.RfmChange(**change.model_dump()))
        run = enqueue(conn, tenant_id(), "build", behind_running=True)
        return {"settings": read_rfm_settings(conn, tenant_id()), "run": run}


def read_rfm_settings(conn: Connection, tenant: UUID) -> dict[str, Any]:
    """A tenant's RFM settings, as :class:`RfmSettings` has them."""
    return one(conn.execute(query("api.find_rfm_settings"), {"tenant_id": tenant}).fetchone())


def _without_customers(conn: Connection) -> dict[str, Any]:
    """The settings for the audit log, which erasing a customer does not search."""
    settings = read_rfm_settings(conn, tenant_id())
    return {**settings, "excluded_customer_ids": len(settings["excluded_customer_ids"])}
