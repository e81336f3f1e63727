"""The admin UI under ``/admin``: pages drawn here, lists filled from the JSON API."""

from __future__ import annotations

from service.ui.pages import blueprint

__all__ = ["blueprint"]
