"""Check of the endpoints of outgoing webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from service.core.db import Connection
from service.core.queries import query
from service.doctor.finding import Finding

_DISABLED = {
    "gone": "was disabled, because it answered 410",
    "failing": "was disabled, because no delivery succeeded for days",
}


def check_endpoints(conn: Connection) -> Iterator[Finding]:
    """Endpoints that have failed for an hour, or were disabled for it."""
    for row in conn.execute(query("doctor.list_failing_endpoints")).fetchall():
        # The rest of the URL may hold a secret.
        endpoint = f"{row['name']}: the webhook endpoint at {urlsplit(row['url']).hostname}"
        if row["is_enabled"]:
            message = f"{endpoint} has failed for {row['hours']} hours"
            advice = "Its log has the reason: GET /api/admin/webhooks/deliveries?state=failed"
        else:
            message = f"{endpoint} {_DISABLED[row['disabled_reason']]}"
            advice = "When its receiver works, enable it again in Quintile or by the API."
        yield Finding("warning", "endpoints", message, advice)
