"""The account behind a key, what the key may do, its lists, and the flows they trigger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import httpx

from service.klaviyo.client import (
    Document,
    KlaviyoClient,
    KlaviyoError,
    KlaviyoScopeError,
)

_LIST = "/api/lists/{id}"
_DELETION_JOBS = "/api/data-privacy-deletion-jobs"

# What each scope is for; nothing works without those that are needed.
NEEDED_SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "accounts:read": "the account's name",
        "lists:read": "lists and who is on them",
        "lists:write": "putting people on lists and taking them off",
        "profiles:read": "the addresses of who is on a list",
        "profiles:write": "adding people and their properties",
    }
)
OPTIONAL_SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "events:write": "events that tell flows who entered or left a segment",
        "flows:read": "warning before a first sync starts a list's flows",
        "data-privacy:write": "having Klaviyo forget whom a privacy request names",
    }
)


@dataclass(frozen=True)
class KlaviyoAccount:
    """An account, and which of the scopes that Quintile knows its key has."""

    account_id: str
    name: str
    scopes: frozenset[str]

    @property
    def missing_scopes(self) -> dict[str, str]:
        """Scopes that are needed and lacking, with what each is for."""
        return {scope: why for scope, why in NEEDED_SCOPES.items() if scope not in self.scopes}


def read_account(client: KlaviyoClient) -> KlaviyoAccount:
    """The account, after trying each scope in a way that changes nothing.

    Klaviyo does not tell a key's scopes, but refuses a call that lacks one before it looks at the
    call: so reading needs one small answer, and writing a body that is certainly not acceptable.

    Raises:
        KlaviyoScopeError: Without ``accounts:read`` nobody knows whose key it is.
        KlaviyoRefusedError: The key is not accepted.
        KlaviyoError: Klaviyo cannot be reached.
    """
    account = client.get("/api/accounts", "/api/accounts")["data"][0]
    contact = account["attributes"].get("contact_information") or {}
    missing: set[str] = set()
    for scopes, attempt in _ATTEMPTS.items():
        missing |= _missing(client, scopes, attempt)
    known = {*NEEDED_SCOPES, *OPTIONAL_SCOPES}
    return KlaviyoAccount(
        account_id=str(account["id"]),
        name=str(contact.get("organization_name") or account["id"]),
        scopes=frozenset(known - missing),
    )


def _missing(
    client: KlaviyoClient, scopes: tuple[str, ...], attempt: Callable[[KlaviyoClient], Document]
) -> set[str]:
    """Which of the scopes of an attempt the key lacks; all of them when Klaviyo names none."""
    try:
        attempt(client)
    except KlaviyoScopeError as error:
        return set(error.missing_scopes) & set(scopes) or set(scopes)
    except KlaviyoError as error:
        # What is wrong with a body is told to those only who may send one.
        if error.status != httpx.codes.BAD_REQUEST:
            raise
    return set()


def _import_nothing(client: KlaviyoClient) -> Document:
    path = "/api/profile-bulk-import-jobs"
    return client.post(path, path, {"data": {"type": "profile-bulk-import-job"}})


def _record_nothing(client: KlaviyoClient) -> Document:
    return client.post("/api/events", "/api/events", {"data": {"type": "event"}})


def _forget_nobody(client: KlaviyoClient) -> Document:
    body = {"data": {"type": "data-privacy-deletion-job"}}
    return client.post(_DELETION_JOBS, _DELETION_JOBS, body)


_ATTEMPTS: Mapping[tuple[str, ...], Callable[[KlaviyoClient], Document]] = MappingProxyType(
    {
        ("lists:read",): lambda client: client.get("/api/lists", "/api/lists", {"page[size]": 1}),
        ("profiles:read",): lambda client: client.get(
            "/api/profiles", "/api/profiles", {"page[size]": 1, "fields[profile]": "email"}
        ),
        ("lists:write", "profiles:write"): _import_nothing,
        ("events:write",): _record_nothing,
        ("data-privacy:write",): _forget_nobody,
        ("flows:read",): lambda client: client.get(
            "/api/flows", "/api/flows", {"page[size]": 1, "fields[flow]": "status"}
        ),
    }
)


def read_live_flows(client: KlaviyoClient, list_id: str) -> list[str]:
    """Names of the live flows that joining a list triggers.

    Raises:
        KlaviyoScopeError: The key lacks ``flows:read``.
        KlaviyoError: As :meth:`KlaviyoClient.get`.
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
    """A list's name; None when the account has no such list.

    Raises:
        KlaviyoError: As :meth:`KlaviyoClient.get`.
    """
    try:
        found = client.get(_LIST, f"/api/lists/{list_id}", {"fields[list]": "name"})
    except KlaviyoError as error:
        if error.status == httpx.codes.NOT_FOUND:
            return None
        raise
    return str(found["data"]["attributes"]["name"])


def read_list_names(client: KlaviyoClient) -> dict[str, str]:
    """Every list's id and name.

    Raises:
        KlaviyoError: As :meth:`KlaviyoClient.get`.
    """
    return {
        str(found["id"]): str(found["attributes"]["name"])
        for page in client.pages("/api/lists", "/api/lists", {"fields[list]": "name"})
        for found in page
    }


def read_list_size(client: KlaviyoClient, list_id: str) -> int:
    """How many profiles a list has. Klaviyo allows this once a second and 15 times a minute.

    Raises:
        KlaviyoError: As :meth:`KlaviyoClient.get`.
    """
    found = client.get(
        f"{_LIST}?profile_count",
        f"/api/lists/{list_id}",
        {"additional-fields[list]": "profile_count"},
    )
    return int(found["data"]["attributes"]["profile_count"])


def delete_profile(client: KlaviyoClient, email: str) -> None:
    """Have Klaviyo delete a profile and all it knows of the person, as privacy law has it.

    Raises:
        KlaviyoScopeError: The key lacks ``data-privacy:write``.
        KlaviyoError: As :meth:`KlaviyoClient.get`.
    """
    profile = {"data": {"type": "profile", "attributes": {"email": email}}}
    body = {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}}
    client.post(_DELETION_JOBS, _DELETION_JOBS, body)
