"""``/api/admin/segments/rfm/settings``: how RFM counts for this tenant."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import Field

from service.api.access import tenant_id, transaction
from service.api.schemas import Instant, RequestModel, ResponseModel, Run
from service.core.db import Connection, one
from service.core.queries import query
from service.queue.enqueue import enqueue
from service.tenants import tenants

blueprint = APIBlueprint("rfm_settings", __name__, tag="Segments")

# A list of exceptions, not a customer database: longer ones belong into the rules.
_MOST_EXCLUSIONS = 1000
CustomerId = Annotated[str, Field(min_length=1, max_length=255)]
Domain = Annotated[str, Field(min_length=3, max_length=253)]


class RfmSettings(ResponseModel):
    """How RFM counts."""

    window_days: int = Field(description="How many days of orders count.")
    time_zone: str = Field(description="IANA name: whole days are days of this zone.")
    minimum_minor: int = Field(
        description="Least net value of an order that counts, in minor units of the currency."
    )
    is_sample_counted: bool = Field(description="Whether a sample with a net value counts.")
    excluded_customer_ids: list[str] = Field(
        description="Customers who are nobody, such as a connector's default customer."
    )
    excluded_domains: list[str] = Field(description="Domains whose addresses are not scored.")
    updated_at: Instant


class RfmSettingsChange(RequestModel):
    """What to change; what is left out stays."""

    window_days: int | None = Field(None, ge=1, le=3650)
    time_zone: str | None = Field(None, max_length=64)
    minimum_minor: int | None = Field(None, ge=0, le=10**15)
    is_sample_counted: bool | None = None
    excluded_customer_ids: list[CustomerId] | None = Field(None, max_length=_MOST_EXCLUSIONS)
    excluded_domains: list[Domain] | None = Field(None, max_length=_MOST_EXCLUSIONS)


class RfmSettingsSaved(ResponseModel):
    """The settings as they are now, and the build that puts them to work."""

    settings: RfmSettings
    run: Run


@blueprint.get("/api/admin/segments/rfm/settings")
@blueprint.output(RfmSettings)
def show_rfm_settings() -> dict[str, Any]:
    """How RFM counts for this tenant."""
    with transaction() as conn:
        return read_rfm_settings(conn, tenant_id())


@blueprint.patch("/api/admin/segments/rfm/settings")
@blueprint.input(RfmSettingsChange, arg_name="change")
@blueprint.output(RfmSettingsSaved, status_code=202)
def change_rfm_settings(change: RfmSettingsChange) -> dict[str, Any]:
    """Change some of the settings and start a build of this tenant with them.

    Both happen or neither. A build that is already waiting will use the new settings; behind one
    that is already running another is queued.
    """
    with transaction() as conn:
        tenants.change_rfm_settings(conn, tenant_id(), tenants.RfmChange(**change.model_dump()))
        run = enqueue(conn, tenant_id(), "build", behind_running=True)
        return {"settings": read_rfm_settings(conn, tenant_id()), "run": run}


def read_rfm_settings(conn: Connection, tenant: UUID) -> dict[str, Any]:
    """How RFM counts for a tenant, as the model of the answer has it."""
    return one(conn.execute(query("api.find_rfm_settings"), {"tenant_id": tenant}).fetchone())
