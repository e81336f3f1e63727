"""Examples of requests and answers in the OpenAPI document, made from their schemas.

A field's own ``examples`` come first, then its fixed values and default, then the value for its
name below. So a new route has an example, too; a test checks each against its schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_REFERENCE = "#/components/schemas/"

# By JSON Schema's format, then by the field's name, then by type.
_BY_FORMAT = MappingProxyType(
    {
        "date-time": "2026-07-01T09:30:00Z",
        "date": "2026-07-01",
        "uuid": "0b6e3c52-6a4e-4d5c-9d1c-2f4f6a0d9e11",
        "password": "shpat_0123456789abcdef",
    }
)
_BY_NAME: Mapping[str, str] = MappingProxyType(
    {
        "action": "rfm_settings.changed",
        "actor": "Ada Byron",
        "advice": "Connect Shopify again under Connections.",
        "api_version": "2026-07",
        "channel": "TikTok",
        "code": "SUMMER25",
        "colour": "#2e7d32",
        "created_by": "Ada Byron",
        "currency": "EUR",
        "customer_email": "ada@example.com",
        "customer_id": "7013456789012",
        "customer_name": "Ada Byron",
        "cursor": "jAFeXtbVYP0kzmD_oEPyC7NcpmZFh_0j2mOl9olQ",
        "definition": "number_of_orders > 1",
        "detail": "limit: This must be 200 or less.",
        "display_name": "Ada Byron",
        "email": "ada@example.com",
        "excluded_segments": "rfm:at_risk",
        "error": "Shopify does not respond.",
        "handle": "ada",
        "id": "1234567890",
        "instance": "urn:uuid:5f0c9a2e-6c1b-4a57-9a7e-0f3b1f0f2d11",
        "key_last_four": "4f2a",
        "label": "Champions",
        "last_four": "4f2a",
        "link": "https://quintile.example.com/admin/sign-in#code=qsi_…",
        "list_id": "XyZ123",
        "list_name": "Champions",
        "name": "Champions",
        "next_cursor": "jAFeXtbVYP0kzmD_oEPyC7NcpmZFh_0j2mOl9olQ",
        "notes": "Likes the serum.",
        "order_id": "5012345678901",
        "order_number": "#1001",
        "person": "Ada Byron",
        "phone": "+4915112345678",
        "plan": "Shopify Plus",
        "promo_codes": "SUMMER25",
        "profile_id": "01HZX4YQ8M",
        "profile_url": "https://www.tiktok.com/@ada",
        "q": "ada",
        "query": "number_of_orders > 1",
        "reason": "It is a test order.",
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "secret_last_four": "LaSw",
        "segment": "champions",
        "segment_id": "rfm:champions",
        "segment_key": "rfm:champions",
        "segments": "rfm:champions",
        "shop": "north.myshopify.com",
        "shop_domain": "north.myshopify.com",
        "sku": "S-1",
        "source": "rfm",
        "status": "ok",
        "title": "Serum",
        "time_zone": "Europe/Berlin",
        "token": "qnt_0b6e3c526a4e4d5c9d1c2f4f6a0d9e11_…",
        "token_last_four": "4f2a",
        "topic": "orders/updated",
        "url": "https://example.com/hooks/quintile",
        "webhook_id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    }
)
# Requests whose fields depend on each other, by the name of their model.
_BY_MODEL: Mapping[str, Any] = MappingProxyType(
    {
        "CreatorMerge": {"creator_id": "9d3f0c1e-52a7-4c1e-8b5e-7a6c2f1d0e44"},
        "NewCreator": {"handle": "ada", "platform": "tiktok", "name": "Ada Byron"},
        "NewPromoCode": {
            "code": "SUMMER25",
            "title": "Summer for champions",
            "percentage": 0.25,
            "segments": ["rfm:champions"],
            "once_per_customer": True,
        },
        "NewToken": {"label": "Checkout", "scope": "read", "expires_in_days": 365},
    }
)
# Fields that are null unless something happened.
_USUALLY_NULL = frozenset(
    {
        *("cancelled_at", "deleted_at", "error", "gone_at", "next_probe_at", "order_limit"),
        *("paused_at", "paused_by", "paused_reason", "problem", "reason", "revoked_at"),
        *("state_reason", "stopped_for"),
    }
)
_TEXT = "text"
_AMOUNT = "129.50"
_DEEPEST = 6


def example_of(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str = "", *, depth: int = 0
) -> Any:
    """A value that matches a schema.

    Args:
        schema: The schema.
        schemas: Those that it may refer to, by name.
        name: The name of the field, if it is one.
        depth: How deep it is inside of others. Deep lists are empty: types may be recursive.
    """
    if reference := schema.get("$ref"):
        model = reference.removeprefix(_REFERENCE)
        if model in _BY_MODEL:
            return _BY_MODEL[model]
        return example_of(schemas[model], schemas, name, depth=depth + 1)
    given = [*schema.get("examples", ()), schema.get("const"), schema.get("default")]
    for value in (*given, *schema.get("enum", ())):
        if value is not None:
            return value
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if name in _USUALLY_NULL and {"type": "null"} in choices:
        return None
    for choice in choices:
        if choice != {"type": "null"}:
            return example_of(choice, schemas, name, depth=depth)
    return _of_type(schema, schemas, name, depth)


def _of_type(schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str, depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        fields = {
            field: example_of(each, schemas, field, depth=depth + 1)
            for field, each in schema.get("properties", {}).items()
        }
        more = schema.get("additionalProperties")
        if not fields and isinstance(more, dict) and depth < _DEEPEST:
            return {"key": example_of(more, schemas, "", depth=depth + 1)}
        return fields
    if kind == "array":
        return _list_of(schema, schemas, name, depth)
    if kind in ("integer", "number"):
        return schema.get("minimum", 12 if kind == "integer" else 0.25)
    if kind == "boolean":
        return True
    return _text(schema, name) if kind == "string" else None


def _list_of(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str, depth: int
) -> list[Any]:
    if "prefixItems" in schema:
        return [example_of(each, schemas, name, depth=depth + 1) for each in schema["prefixItems"]]
    if depth > _DEEPEST or "items" not in schema:
        return []
    one = name if name in _BY_NAME else name.removesuffix("s")
    item = example_of(schema["items"], schemas, one, depth=depth + 1)
    return [item] * max(1, schema.get("minItems", 0))


def _text(schema: Mapping[str, Any], name: str) -> str:
    if found := _BY_FORMAT.get(schema.get("format", "")):
        return found
    pattern = re.compile(schema.get("pattern", ""))
    # Where the name's value does not fit, another one does.
    for value in (_BY_NAME.get(name, _TEXT), _AMOUNT, *_BY_NAME.values()):
        if pattern.search(value):
            return value
    return _TEXT
