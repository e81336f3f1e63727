"""The definitions of our customer metafields in a store: created, made filterable, deleted.

Without a definition Shopify stores no value of ours: none is sent with a type. A definition that
was deleted by hand, maybe with its values, is created again, and its values are written again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from service.core.db import tenant_transaction
from service.core.queries import query
from service.shopify.client import Data
from service.shopify.errors import ShopifyUnavailableError
from service.shopify.metafield_upload import current_config
from service.shopify.metafields import FIELDS, NAMESPACE, Metafield, MetafieldError
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
    """Have a filterable definition of each metafield, unless metafields are turned off meanwhile.

    Raises:
        MetafieldError: Shopify refuses one, or the store has another metafield of that name.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    found = _find(source)
    known = current_config(source).definitions
    for column, field in FIELDS.items():
        definition = found.get(field.key)
        if definition is None:
            # One whose creation is never answered is known by its key.
            if not known.get(field.key) and not _record(source, field, ""):
                return
            identifier = _create(source, field)
        else:
            _check_type(field, definition)
            identifier = definition["id"]
        if identifier != known.get(field.key):
            _record(source, field, identifier, gone=[column] if known.get(field.key) else [])
        if definition is not None:
            _make_filterable(source, field, definition)


def delete_definitions(source: Source, keys: Collection[str]) -> None:
    """Delete our definitions, and with them values that could not be removed one by one.

    ``keys`` are those of the definitions on record: another one is the merchant's.

    Raises:
        MetafieldError: Shopify keeps one, for example because it is in use.
        ShopifyError: As :meth:`ShopifyClient.run`.
    """
    for field in FIELDS.values():
        if field.key not in keys:
            continue
        identifier = {"ownerType": _OWNER, "namespace": NAMESPACE, "key": field.key}
        answer = source.client.run("metafield_definition_delete", identifier=identifier)
        errors = _errors(answer["metafieldDefinitionDelete"])
        if any(error.get("code") != "NOT_FOUND" for error in errors):
            raise _refusal(f"delete the definition of {_name(field)}", errors)
    source.execute(query("shopify.forget_metafield_definitions"))


def _record(source: Source, field: Metafield, identifier: str, gone: Sequence[str] = ()) -> bool:
    """Record a definition, and that the values of columns went with the one before.

    False if metafields were turned off meanwhile.
    """
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        parameters = {
            "tenant_id": source.tenant_id,
            "definition": Jsonb({field.key: identifier}),
            "columns": list(gone),
        }
        recorded = conn.execute(query("shopify.record_metafield_definition"), parameters)
        if gone:
            conn.execute(query("shopify.forget_metafields"), parameters)
        return recorded.rowcount > 0


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
