"""/api/accounts: the account of a key."""

from __future__ import annotations

from flask import Blueprint, Response

from .limits import EXTRA_SMALL
from .operations import operation, respond, url
from .pages import sparse
from .state import Account

blueprint = Blueprint("accounts", __name__)


@operation(
    blueprint,
    "GET",
    "/api/accounts",
    limit=EXTRA_SMALL,
    scopes=("accounts:read",),
    parameters=("fields[account]",),
)
def get_accounts(account: Account) -> Response:
    """The one account a private key belongs to."""
    attributes = {
        "test_account": True,
        "contact_information": {
            "default_sender_name": account.name,
            "default_sender_email": "sender@example.com",
            "website_url": None,
            "organization_name": account.name,
            "street_address": dict.fromkeys(
                ("address1", "address2", "city", "region", "country", "zip")
            ),
        },
        "industry": None,
        "timezone": account.timezone,
        "preferred_currency": account.currency,
        "public_api_key": f"{account.prefix}SNDB",
        "locale": "en-US",
    }
    document = {
        "type": "account",
        "id": f"{account.prefix}SNDB",
        "attributes": sparse(attributes, "account"),
        "links": {"self": url(f"/api/accounts/{account.prefix}SNDB")},
    }
    return respond({"data": [document], "links": {"self": url("/api/accounts")}})
