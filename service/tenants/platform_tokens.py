"""JSON Web Tokens of a platform that embeds or calls Quintile.

The platform signs them (RS256 or ES256 with keys at a JWKS address, or HS256 with a shared secret),
and one claim names the tenant. Shopify's session tokens are one case: HS256 with the app's client
secret, its client id as audience, the claim ``dest`` and the issuer ``https://{shop}/admin``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import jwt
import structlog

from service.core.config import LOOPBACK, Settings
from service.core.db import Pool, tenant_transaction
from service.core.errors import InvalidSettingError
from service.core.queries import query
from service.tenants.shop_domain import is_shop_domain, tenant_of_shop
from service.tenants.signing_keys import SigningKeys
from service.tenants.tokens import SCOPES, Access, Scope

log = structlog.get_logger(__name__)

# How far the platform's clock and ours may differ.
_LEEWAY_SECONDS = 10
_LONGEST_ACTOR = 100
# Header, claims and signature.
_PARTS = 3
# HS256 needs a key as long as its digest (RFC 7518, 3.2).
_SHORTEST_SECRET = 32


@dataclass(frozen=True)
class Issuer:
    """The platform whose tokens are accepted."""

    issuer: str
    audience: str
    tenant_claim: str
    scope: Scope
    secret: str = field(repr=False)
    keys: SigningKeys | None

    @classmethod
    def configured(cls, settings: Settings) -> Issuer | None:
        """The platform in the settings; None if there is none.

        Raises:
            InvalidSettingError: The settings are incomplete or contradict each other.
        """
        if not (settings.jwt_jwks_url or settings.jwt_secret):
            if settings.jwt_issuer or settings.jwt_audience:
                raise InvalidSettingError(
                    "Tokens of your platform need QUINTILE_JWT_JWKS_URL or QUINTILE_JWT_SECRET."
                )
            return None
        if settings.jwt_jwks_url and settings.jwt_secret:
            raise InvalidSettingError("Set QUINTILE_JWT_JWKS_URL or QUINTILE_JWT_SECRET, not both.")
        if not settings.jwt_issuer or not settings.jwt_audience:
            raise InvalidSettingError(
                "Tokens of your platform need QUINTILE_JWT_ISSUER and QUINTILE_JWT_AUDIENCE."
            )
        if settings.jwt_scope not in SCOPES:
            raise InvalidSettingError(f"QUINTILE_JWT_SCOPE must be one of {', '.join(SCOPES)}.")
        if settings.jwt_secret and len(settings.jwt_secret.encode()) < _SHORTEST_SECRET:
            raise InvalidSettingError(
                f"QUINTILE_JWT_SECRET must have at least {_SHORTEST_SECRET} bytes."
            )
        keys = None
        if settings.jwt_jwks_url:
            parts = urlsplit(settings.jwt_jwks_url)
            if parts.scheme != "https" and parts.hostname not in LOOPBACK:
                raise InvalidSettingError("QUINTILE_JWT_JWKS_URL must be an https:// address.")
            keys = SigningKeys(settings.jwt_jwks_url)
        return cls(
            settings.jwt_issuer,
            settings.jwt_audience,
            settings.jwt_tenant_claim,
            cast("Scope", settings.jwt_scope),
            settings.jwt_secret,
            keys,
        )


def is_platform_token(token: str) -> bool:
    """Whether a bearer token has the form of a JSON Web Token: three parts."""
    return len(token.split(".")) == _PARTS


def find_platform_access(pool: Pool, issuer: Issuer, token: str) -> Access | None:
    """What a platform's token gives; None if it is invalid or names no tenant.

    Raises:
        KeysUnavailableError: The platform's keys cannot be read.
    """
    try:
        claims = _verify(issuer, token)
        found = _find_tenant(pool, str(claims[issuer.tenant_claim]))
    except (jwt.PyJWTError, ValueError) as error:
        log.info("token refused", reason=type(error).__name__)
        return None
    if found is None:
        log.info("token refused", reason="unknown tenant")
        return None
    tenant_id, shop = found
    # {shop} binds the issuer to the tenant: each of Shopify's shops issues its own tokens.
    if claims["iss"] != issuer.issuer.replace("{shop}", shop or ""):
        log.info("token refused", reason="other issuer")
        return None
    subject = "".join(c for c in str(claims.get("sub", "")) if c.isprintable())[:_LONGEST_ACTOR]
    return Access(tenant_id, issuer.scope, "platform", f"{issuer.audience} {subject}".strip())


def _verify(issuer: Issuer, token: str) -> dict[str, Any]:
    """The claims of a token that is valid now.

    Raises:
        PyJWTError: It is not.
        KeysUnavailableError: The platform's keys cannot be read.
    """
    if issuer.keys is None:
        return _decode(issuer, token, issuer.secret, "HS256")
    # Keys are not read for a token that cannot be valid anyway.
    header = jwt.get_unverified_header(token)
    jwt.decode(
        token,
        audience=issuer.audience,
        leeway=_LEEWAY_SECONDS,
        options={"verify_signature": False, "verify_aud": True, "verify_exp": True},
    )
    key = issuer.keys.find(str(header.get("kid", "")))
    if key is None:
        raise jwt.InvalidTokenError("unknown key")
    return _decode(issuer, token, key, key.algorithm_name)


def _decode(issuer: Issuer, token: str, key: str | jwt.PyJWK, algorithm: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        audience=issuer.audience,
        leeway=_LEEWAY_SECONDS,
        options={"require": ["exp", "iss", "aud", issuer.tenant_claim]},
    )
    return claims


def _find_tenant(pool: Pool, named: str) -> tuple[UUID, str | None] | None:
    """The tenant with this id or shop domain, which may be part of a URL.

    Raises:
        ValueError: The text is neither.
    """
    try:
        tenant_id = UUID(named)
    except ValueError:
        shop = urlsplit(named).hostname or "" if "://" in named else named
        if not is_shop_domain(shop):
            raise ValueError("neither an id nor a shop domain") from None
        found = tenant_of_shop(pool, shop)
        if found is None:
            return None
        tenant_id = found
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        tenant = conn.execute(query("tenants.find_shop"), {"tenant_id": tenant_id}).fetchone()
    return (tenant_id, tenant["shop_domain"]) if tenant else None
