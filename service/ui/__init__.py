"""The admin UI under ``/admin``: pages rendered on the server, changed through the JSON API."""

from __future__ import annotations

# Each of these adds its pages to the blueprint.
from service.ui import activity_page as activity_page
from service.ui import customer_pages as customer_pages
from service.ui import home_page as home_page
from service.ui import pages as pages
from service.ui import promo_code_pages as promo_code_pages
from service.ui import sample_pages as sample_pages
from service.ui import segment_page as segment_page
from service.ui import segment_pages as segment_pages
from service.ui import settings_pages as settings_pages
from service.ui.blueprint import blueprint

__all__ = ["blueprint"]
