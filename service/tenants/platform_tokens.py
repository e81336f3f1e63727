"""JSON Web Tokens of a platform that embeds or calls Quintile.

The platform signs them (RS256 or ES256 with keys at a JWKS address, or HS256 with a shared secret),
and one claim names the tenant. Shopify's session tokens are one case: HS256 with the app's client
secret, its client id as audience, the claim ``dest`` and the issuer ``https://{shop}/admin``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import jwt
import structlog

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.core.errors import InvalidSettingError, QuintileError
from service.core.queries import query
from service.tenants.shop_domain import tenant_of_shop
from service.tenants.tokens import SCOPES, Access, Scope

log = structlog.get_logger(__name__)

_KEY_TIMEOUT_SECONDS = 5
# How far the platform's clock and ours may differ.
_LEEWAY_SECONDS = 10
_LONGEST_ACTOR = 100


class KeysUnavailableError(QuintileError):
    """The platform's signing keys cannot be read now."""


@dataclass(frozen=True)
class Issuer:
    """The platform whose tokens are accepted."""

    issuer: str
    audience: str
    tenant_claim: str
    scope: Scope
    secret: str
    jwks: jwt.PyJWKClient | None

    @classmethod
    def configured(cls, settings: Settings) -> Issuer | None:
        """The platform in the settings; None if there is none.

        Raises:
            InvalidSettingError: The settings are incomplete or contradict each other.
        """
        if not (settings.jwt_jwks_url or settings.jwt_secret):
            return None
        if settings.jwt_jwks_url and settings.jwt_secret:
            raise InvalidSettingError("Set QUINTILE_JWT_JWKS_URL or QUINTILE_JWT_SECRET, not both.")
        if not settings.jwt_issuer or not settings.jwt_audience:
            raise InvalidSettingError(
                "Tokens of your platform need QUINTILE_JWT_ISSUER and QUINTILE_JWT_AUDIENCE."
            )
        if settings.jwt_scope not in SCOPES:
            raise InvalidSettingError(f"QUINTILE_JWT_SCOPE must be one of {', '.join(SCOPES)}.")
        jwks = None
        if settings.jwt_jwks_url:
            jwks = jwt.PyJWKClient(settings.jwt_jwks_url, timeout=_KEY_TIMEOUT_SECONDS)
        return cls(
            settings.jwt_issuer,
            settings.jwt_audience,
            settings.jwt_tenant_claim,
            cast("Scope", settings.jwt_scope),
            settings.jwt_secret,
            jwks,
        )


def is_platform_token(token: str) -> bool:
    """Whether a bearer token has the form of a JSON Web Token: three parts."""
    return token.count(".") == 2  # noqa: PLR2004


def find_platform_access(pool: Pool, issuer: Issuer, token: str) -> Access | None:
    """What a platform's token gives; None if it is invalid or names no tenant.

    Raises:
        KeysUnavailableError: The platform's keys cannot be read.
    """
    try:
        claims = _verify(issuer, token)
    except jwt.PyJWKClientConnectionError as error:
        raise KeysUnavailableError("The signing keys of the platform cannot be read.") from error
    except jwt.PyJWTError as error:
        log.info("token refused", reason=type(error).__name__)
        return None
    named = str(claims.get(issuer.tenant_claim, ""))
    found = _find_tenant(pool, named)
    if found is None:
        log.info("token refused", reason="unknown tenant")
        return None
    tenant_id, shop = found
    # {shop} binds the issuer to the tenant: each of Shopify's shops issues its own tokens.
    if claims["iss"] != issuer.issuer.replace("{shop}", shop or ""):
        log.info("token refused", reason="other issuer")
        return None
    subject = str(claims.get("sub", ""))[:_LONGEST_ACTOR]
    return Access(tenant_id, issuer.scope, f"{issuer.audience} {subject}".strip())


def _verify(issuer: Issuer, token: str) -> dict[str, Any]:
    algorithms, key = ["HS256"], cast("Any", issuer.secret)
    if issuer.jwks is not None:
        algorithms, key = ["RS256", "ES256"], issuer.jwks.get_signing_key_from_jwt(token).key
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=algorithms,
        audience=issuer.audience,
        leeway=_LEEWAY_SECONDS,
        options={"require": ["exp", "iss", "aud", issuer.tenant_claim]},
    )
    return claims


def _find_tenant(pool: Pool, named: str) -> tuple[UUID, str | None] | None:
    """The tenant with this id or shop domain, which may be part of a URL."""
    try:
        tenant_id = UUID(named)
    except ValueError:
        shop = urlsplit(named).hostname if "://" in named else named
        found = tenant_of_shop(pool, shop or "")
        if found is None:
            return None
        tenant_id = found
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        tenant = conn.execute(query("tenants.find_shop"), {"tenant_id": tenant_id}).fetchone()
    return (tenant_id, tenant["shop_domain"]) if tenant else None
