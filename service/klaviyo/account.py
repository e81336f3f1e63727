"""The account behind a key, and its lists."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from service.klaviyo.client import KlaviyoClient, KlaviyoError

_LIST = "/api/lists/{id}"


@dataclass(frozen=True)
class Flow:
    """A flow that a list triggers."""

    flow_id: str
    name: str
    status: str

    @property
    def is_live(self) -> bool:
        """Whether it would write to whoever joins the list."""
        return self.status == "live"


def read_list_flows(client: KlaviyoClient, list_id: str) -> list[Flow]:
    """The flows a list triggers."""
    found = client.get(f"{_LIST}/flow-triggers", f"/api/lists/{list_id}/flow-triggers")
    return [
        Flow(f["id"], f["attributes"]["name"], f["attributes"]["status"]) for f in found["data"]
    ]


def read_account_name(client: KlaviyoClient) -> str:
    """The account's name, after trying each scope that can be tried without changing anything.

    Klaviyo does not tell a key's scopes; those for writing show at the first push.

    Raises:
        KlaviyoRefusedError: The key is not accepted, or lacks a scope for reading.
        KlaviyoError: Klaviyo cannot be reached.
    """
    account = client.get("/api/accounts", "/api/accounts")["data"][0]
    client.get("/api/lists", "/api/lists", {"page[size]": 1})
    client.get("/api/profiles", "/api/profiles", {"page[size]": 1, "fields[profile]": "email"})
    contact = account["attributes"].get("contact_information") or {}
    return str(contact.get("organization_name") or account["id"])


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
