"""The admin UI under ``/admin``: pages rendered on the server, lists filled from the JSON API."""

from __future__ import annotations

from service.ui.pages import blueprint

__all__ = ["blueprint"]
