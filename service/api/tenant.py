"""``/api/admin/me``: the store that a request acts for."""

from __future__ import annotations

from uuid import UUID

from apiflask import APIBlueprint

from service.api.access import actor, scope, tenant_id, transaction
from service.api.schemas import Tenant
from service.core.db import Connection, one
from service.core.queries import query
from service.shopify.order_history import read_order_limit

blueprint = APIBlueprint("tenant", __name__, tag="Tenant")


def read_tenant(conn: Connection, tenant: UUID) -> Tenant:
    """The tenant with its shop, and the times of its last sync and build."""
    statement = query("api.find_tenant")
    row = conn.execute(statement, {"tenant_id": tenant}, prepare=True).fetchone()
    limit = read_order_limit(conn, tenant)
    return Tenant.model_validate(
        {**one(row), "order_limit": limit, "scope": scope(), "actor": actor()}
    )


@blueprint.get("/api/admin/me")
@blueprint.output(Tenant)
def me() -> Tenant:
    """Get the store that the token or session belongs to."""
    with transaction() as conn:
        return read_tenant(conn, tenant_id())
