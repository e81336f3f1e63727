"""The blueprint of the admin UI, and what every page needs.

A page keeps its tab, filters and cursor in the URL only, so every state can be linked to and the
browser's back button works. The server renders charts and lists (listing.py); small scripts change
them without a reload (regions.js), and send changes to the JSON API.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, before_render_template, render_template

from service.api.access import tenant_id, transaction
from service.api.tenant import read_tenant
from service.ui import assets, formats, times
from service.ui import sign_in as signing
from service.ui.colours import readable

blueprint = Blueprint("admin", __name__, url_prefix="/admin", template_folder="templates")
blueprint.add_app_template_filter(readable)
blueprint.add_app_template_filter(times.moment)
blueprint.add_app_template_filter(times.calendar_day)
blueprint.add_app_template_filter(times.store_day)
blueprint.add_app_template_filter(times.cron_in_words)
before_render_template.connect(times.remember_time_zone)
blueprint.add_app_template_filter(formats.money_text)
blueprint.add_app_template_filter(formats.percent_text)
blueprint.add_app_template_filter(assets.preload_imports)
blueprint.app_url_defaults(assets.add_digest)
blueprint.add_url_rule(
    "/static/<release>/<filename>", endpoint="static", view_func=assets.show_static
)
blueprint.add_url_rule("/sign-in", view_func=signing.show_sign_in)
blueprint.add_url_rule("/sign-in", view_func=signing.sign_in, methods=["POST"])
blueprint.add_url_rule("/sign-in/code", view_func=signing.sign_in_with_code, methods=["POST"])
blueprint.add_url_rule("/sign-out", view_func=signing.sign_out, methods=["POST"])


def render(template: str, section: str, **values: Any) -> str:
    """Render a page that needs nothing of the database but its tenant.

    Args:
        template: Name of the template.
        section: The entry of the main navigation that is marked.
        values: Further variables of the template.
    """
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
    return render_template(template, tenant=tenant, section=section, **values)
