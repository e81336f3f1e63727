"""The two accounts that go with the two stores."""

from __future__ import annotations

from collections.abc import Sequence

from ..data import StoreData
from .state import Account

_KEYS = ("pk_sandbox_northlight", "pk_sandbox_kessel")
_PREFIXES = ("NG", "KK")
_LISTS = ("Newsletter", "Champions", "Loyal", "At risk", "Creators")
_NEWSLETTER_MEMBERS = 25


def seeded_accounts(stores: Sequence[StoreData], *, rate_limit_scale: float = 1.0) -> list[Account]:
    """An account for each store: the lists a marketer would have, most of them still empty."""
    return [
        _account(store, key, prefix, rate_limit_scale)
        for store, key, prefix in zip(stores, _KEYS, _PREFIXES, strict=True)
    ]


def _account(store: StoreData, key: str, prefix: str, rate_limit_scale: float) -> Account:
    account = Account(
        key,
        name=store.name,
        currency=store.currency,
        timezone=store.timezone,
        prefix=prefix,
        rate_limit_scale=rate_limit_scale,
    )
    newsletter, *_ = [account.add_list(name) for name in _LISTS]
    subscribers = [c for c in store.customers if c.email and c.marketing_state == "SUBSCRIBED"]
    for customer in subscribers[:_NEWSLETTER_MEMBERS]:
        profile = account.create_profile(
            {
                "email": customer.email,
                "first_name": customer.first_name,
                "last_name": customer.last_name,
            }
        )
        profile.consent = "SUBSCRIBED"
        account.join(newsletter, [profile.id])
    return account
