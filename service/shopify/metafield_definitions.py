"""The definitions of our customer metafields in a store: created, made filterable, deleted.

Without a definition Shopify stores no value of ours: none is sent with a type. A definition that
was deleted by hand, maybe with its values, is created again, and its values are written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from service.core.db import tenant_transaction
from service.core.queries import query
from service.shopify.client import Data
from service.shopify.errors import ShopifyUnavailableError
from service.shopify.metafields import FIELDS, NAMESPACE, Metafield, MetafieldError, read_config
from service.shopify.source import Source

_OWNER = "CUSTOMER"
# More than we have, as a merchant may add some.
_PAGE = 50
_FILTERABLE: Data = {"adminFilterable": {"enabled": True}}
_IN_CUSTOM_DATA = "in Shopify under Settings > Metafields and metaobjects > Customers"
_SEE_CUSTOM_DATA = f"See the customer metafields {_IN_CUSTOM_DATA}; the next run tries again."
# What to do, by Shopify's code.
_ADVICE = {
    "OWNER_TYPE_LIMIT_EXCEEDED_FOR_USE_AS_ADMIN_FILTERS": (
        f"Turn off filtering of another customer metafield {_IN_CUSTOM_DATA}; the next run tries"
        " again."
    ),
    "RESOURCE_TYPE_LIMIT_EXCEEDED": (
        f"Delete an unused definition of a customer metafield {_IN_CUSTOM_DATA}; the next run tries"
        " again."
    ),
    "METAFIELD_DEFINITION_IN_USE": (
        "Remove it from where Shopify uses it; the next run deletes it. Its values are removed."
    ),
}


def ensure_definitions(source: Source) -> None:
    """Have a filterable definition of each metafield.

    Raises:
        MetafieldError: Shopify refuses one, or the store has another metafield of that name.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    found = _find(source)
    ids = {}
    for field in FIELDS.values():
        definition = found.get(field.key)
        ids[field.key] = _create(source, field) if definition is None else definition["id"]
        if definition is not None:
            _check_type(field, definition)
            _make_filterable(source, field, definition)
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        known = read_config(conn, source.tenant_id).definitions
        gone = [
            column
            for column, field in FIELDS.items()
            if known.get(field.key) not in (None, ids[field.key])
        ]
        parameters = {"tenant_id": source.tenant_id, "definitions": Jsonb(ids), "columns": gone}
        if gone:
            conn.execute(query("shopify.forget_metafields"), parameters)
        conn.execute(query("shopify.record_metafield_definitions"), parameters)


def delete_definitions(source: Source) -> None:
    """Delete our definitions, and with them values whose writing was never recorded.

    Raises:
        MetafieldError: Shopify keeps one, for example because it is in use.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    for field in FIELDS.values():
        identifier = {"ownerType": _OWNER, "namespace": NAMESPACE, "key": field.key}
        answer = source.client.run("metafield_definition_delete", identifier=identifier)
        errors = _errors(answer["metafieldDefinitionDelete"])
        if any(error.get("code") != "NOT_FOUND" for error in errors):
            raise _refusal(f"delete the definition of {_name(field)}", errors)
    source.execute(query("shopify.record_metafield_definitions"), definitions=Jsonb({}))


def _find(source: Source) -> dict[str, Data]:
    answer = source.client.run("metafield_definitions", namespace=NAMESPACE, first=_PAGE)
    return {node["key"]: node for node in answer["metafieldDefinitions"]["nodes"]}


def _create(source: Source, field: Metafield) -> str:
    definition = {
        "ownerType": _OWNER,
        "namespace": NAMESPACE,
        "key": field.key,
        "name": field.name,
        "description": field.description,
        "type": field.type,
        "capabilities": _FILTERABLE,
    }
    answer = source.client.run("metafield_definition_create", definition=definition)
    payload = answer["metafieldDefinitionCreate"]
    errors = _errors(payload)
    if any(error.get("code") == "TAKEN" for error in errors):
        # An answer that was lost: the first call has created it.
        taken = _find(source).get(field.key)
        if taken is not None:
            _check_type(field, taken)
            return str(taken["id"])
    if errors or not (payload or {}).get("createdDefinition"):
        raise _refusal(f"define {_name(field)}", errors)
    return str(payload["createdDefinition"]["id"])


def _check_type(field: Metafield, definition: Data) -> None:
    type_name = definition["type"]["name"]
    if type_name != field.type:
        raise MetafieldError(
            f"The store already has a customer metafield {_name(field)}, of the type {type_name}"
            f" instead of {field.type}.",
            advice=f"Delete its definition {_IN_CUSTOM_DATA}; the next run creates it as needed.",
        )


def _make_filterable(source: Source, field: Metafield, definition: Data) -> None:
    if definition["capabilities"]["adminFilterable"]["enabled"]:
        return
    change = {
        "ownerType": _OWNER,
        "namespace": NAMESPACE,
        "key": field.key,
        "capabilities": _FILTERABLE,
    }
    answer = source.client.run("metafield_definition_update", definition=change)
    if errors := _errors(answer["metafieldDefinitionUpdate"]):
        raise _refusal(f"make {_name(field)} a filter", errors)


def _errors(payload: Any) -> list[Data]:
    errors: list[Data] = (payload or {}).get("userErrors") or []
    return errors


def _refusal(what: str, errors: Sequence[Data]) -> MetafieldError | ShopifyUnavailableError:
    codes = {str(error.get("code")) for error in errors}
    reason = "; ".join(str(error.get("message") or "").rstrip(".") for error in errors)
    message = f"Shopify does not {what}: {reason or 'it gave no reason'}."
    if "INTERNAL_ERROR" in codes:
        return ShopifyUnavailableError(message)
    advice = next((_ADVICE[code] for code in sorted(codes) if code in _ADVICE), _SEE_CUSTOM_DATA)
    return MetafieldError(message, advice=advice)


def _name(field: Metafield) -> str:
    return f"{NAMESPACE}.{field.key}"
