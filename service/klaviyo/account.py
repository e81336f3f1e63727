"""Reading an account: its key's scopes, its lists, and the flows they trigger.

Every function raises what :meth:`service.klaviyo.client.KlaviyoClient.get` raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import httpx

from service.klaviyo.client import (
    KlaviyoClient,
    KlaviyoError,
    KlaviyoScopeError,
)

_LIST = "/api/lists/{id}"
_DELETION_JOBS = "/api/data-privacy-deletion-jobs"

# What each scope is for. Nothing works without the needed ones.
NEEDED_SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "accounts:read": "the account's name",
        "lists:read": "lists and the people on them",
        "lists:write": "adding people to lists and removing them",
        "profiles:read": "the addresses of the people on a list",
        "profiles:write": "adding people and their properties",
    }
)
OPTIONAL_SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "events:write": "events about who entered or left a segment, for flows",
        "flows:read": "warning before a first sync starts a list's flows",
        "data-privacy:write": "deleting people in Klaviyo for privacy requests",
    }
)
# Calls that need a scope and change nothing: a read's parameters, or the type of an empty resource.
_SCOPE_TRIALS: tuple[tuple[set[str], str, str | dict[str, str]], ...] = (
    ({"lists:read"}, "/api/lists", {}),
    ({"profiles:read"}, "/api/profiles", {"fields[profile]": "email"}),
    ({"flows:read"}, "/api/flows", {"fields[flow]": "status"}),
    (
        {"lists:write", "profiles:write"},
        "/api/profile-bulk-import-jobs",
        "profile-bulk-import-job",
    ),
    ({"events:write"}, "/api/events", "event"),
    ({"data-privacy:write"}, _DELETION_JOBS, "data-privacy-deletion-job"),
)


@dataclass(frozen=True)
class KlaviyoAccount:
    """An account, and which of the scopes that Quintile knows its key has."""

    account_id: str
    name: str
    scopes: frozenset[str]

    @property
    def missing_scopes(self) -> dict[str, str]:
        """The needed scopes that the key lacks, with what each is for."""
        return {scope: why for scope, why in NEEDED_SCOPES.items() if scope not in self.scopes}


def read_account(client: KlaviyoClient) -> KlaviyoAccount:
    """The account, and which scopes its key has. Changes nothing in Klaviyo.

    Klaviyo does not list a key's scopes, but refuses a call that lacks one before it checks the
    body. So each scope is tried: reading with a small answer, writing with an invalid body.

    Raises:
        KlaviyoScopeError: The key lacks ``accounts:read``.
    """
    account = client.get("/api/accounts", "/api/accounts")["data"][0]
    contact = account["attributes"].get("contact_information") or {}
    missing: set[str] = set()
    for scopes, path, content in _SCOPE_TRIALS:
        missing |= _try_scopes(client, scopes, path, content)
    known = {*NEEDED_SCOPES, *OPTIONAL_SCOPES}
    return KlaviyoAccount(
        account_id=str(account["id"]),
        name=str(contact.get("organization_name") or account["id"]),
        scopes=frozenset(known - missing),
    )


def _try_scopes(
    client: KlaviyoClient, scopes: set[str], path: str, content: str | dict[str, str]
) -> set[str]:
    """Which of the scopes the key lacks; all of them if Klaviyo does not name them."""
    try:
        if isinstance(content, str):
            client.post(path, path, {"data": {"type": content}})
        else:
            client.get(path, path, {"page[size]": 1, **content})
    except KlaviyoScopeError as error:
        return scopes.intersection(error.missing_scopes) or scopes
    except KlaviyoError as error:
        # Klaviyo says what is wrong with a body only if the key may send one.
        if error.status != httpx.codes.BAD_REQUEST:
            raise
    return set()


def read_live_flows(client: KlaviyoClient, list_id: str) -> list[str]:
    """Names of the live flows that joining a list triggers.

    Raises:
        KlaviyoScopeError: The key lacks ``flows:read``.
    """
    pages = client.pages(
        f"{_LIST}/flow-triggers",
        f"/api/lists/{list_id}/flow-triggers",
        {"fields[flow]": "archived,name,status"},
    )
    return [
        str(flow["attributes"].get("name") or flow["id"])
        for page in pages
        for flow in page
        if flow["attributes"].get("status") == "live" and not flow["attributes"].get("archived")
    ]


def read_list_name(client: KlaviyoClient, list_id: str) -> str | None:
    """A list's name; None if the account has no such list."""
    try:
        found = client.get(_LIST, f"/api/lists/{list_id}", {"fields[list]": "name"})
    except KlaviyoError as error:
        if error.status == httpx.codes.NOT_FOUND:
            return None
        raise
    return str(found["data"]["attributes"]["name"])


def read_list_names(client: KlaviyoClient) -> dict[str, str]:
    """The name of every list, by its id."""
    return {
        str(found["id"]): str(found["attributes"]["name"])
        for page in client.pages("/api/lists", "/api/lists", {"fields[list]": "name"})
        for found in page
    }


def read_list_size(client: KlaviyoClient, list_id: str) -> int:
    """How many profiles a list has. Klaviyo allows this once a second and 15 times a minute."""
    found = client.get(
        f"{_LIST}?profile_count",
        f"/api/lists/{list_id}",
        {"additional-fields[list]": "profile_count"},
    )
    return int(found["data"]["attributes"]["profile_count"])


def delete_profile(client: KlaviyoClient, email: str) -> None:
    """Delete a profile and all data about the person, for a privacy request.

    Raises:
        KlaviyoScopeError: The key lacks ``data-privacy:write``.
    """
    profile = {"data": {"type": "profile", "attributes": {"email": email}}}
    body = {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}}
    client.post(_DELETION_JOBS, _DELETION_JOBS, body)
