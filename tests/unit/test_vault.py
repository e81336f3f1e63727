"""Sealing of stored credentials, the key ring, and the secrets derived from the secret key."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from service.cli.web import web_environment
from service.core.config import Settings, load_settings
from service.core.db import app_url
from service.core.errors import InvalidSettingError, SealBrokenError
from service.core.secrets import role_password, secret_key
from service.core.vault import seal, unseal

KEY_A = base64.b64encode(b"a" * 32).decode()
KEY_B = base64.b64encode(b"b" * 32).decode()


@pytest.fixture
def plain(tmp_path: Path) -> Settings:
    return Settings(secret_key="x", home=str(tmp_path))


def test_a_sealed_secret_can_be_opened(plain: Settings) -> None:
    tenant = uuid4()
    sealed = seal(plain, tenant, "klaviyo", "pk_secret")
    assert b"pk_secret" not in sealed["sealed_secret"]
    assert unseal(plain, tenant, "klaviyo", sealed) == "pk_secret"


def test_sealing_twice_gives_different_ciphertexts(plain: Settings) -> None:
    tenant = uuid4()
    assert seal(plain, tenant, "klaviyo", "s") != seal(plain, tenant, "klaviyo", "s")


def test_a_sealed_secret_does_not_open_for_another_tenant_or_provider(plain: Settings) -> None:
    tenant = uuid4()
    sealed = seal(plain, tenant, "klaviyo", "pk_secret")
    with pytest.raises(SealBrokenError):
        unseal(plain, uuid4(), "klaviyo", sealed)
    with pytest.raises(SealBrokenError):
        unseal(plain, tenant, "shopify", sealed)


def test_an_altered_secret_does_not_open(plain: Settings) -> None:
    tenant = uuid4()
    sealed = seal(plain, tenant, "klaviyo", "pk_secret")
    flipped = bytes([sealed["sealed_secret"][20] ^ 1])
    altered = sealed["sealed_secret"][:20] + flipped + sealed["sealed_secret"][21:]
    with pytest.raises(SealBrokenError):
        unseal(plain, tenant, "klaviyo", {**sealed, "sealed_secret": altered})


def test_the_first_key_seals_and_older_keys_of_the_ring_still_open(plain: Settings) -> None:
    tenant = uuid4()
    old = replace(plain, encryption_keys=f"old:{KEY_A}")
    both = replace(plain, encryption_keys=f"new:{KEY_B},old:{KEY_A}")
    sealed = seal(old, tenant, "shopify", "token")
    assert unseal(both, tenant, "shopify", sealed) == "token"
    assert seal(both, tenant, "shopify", "token")["key_id"] == "new"


def test_the_derived_key_still_opens_when_keys_are_set(plain: Settings) -> None:
    tenant = uuid4()
    sealed = seal(plain, tenant, "shopify", "token")
    assert unseal(replace(plain, encryption_keys=f"new:{KEY_B}"), tenant, "shopify", sealed)


def test_the_error_names_a_key_that_was_removed_from_the_ring(plain: Settings) -> None:
    tenant = uuid4()
    sealed = seal(replace(plain, encryption_keys=f"old:{KEY_A}"), tenant, "shopify", "token")
    with pytest.raises(SealBrokenError, match="'old', which is not in the key ring"):
        unseal(replace(plain, encryption_keys=f"new:{KEY_B}"), tenant, "shopify", sealed)


@pytest.mark.parametrize(
    "ring",
    [
        "nonsense",
        "a:%%%",
        "a:c2hvcnQ=",
        f":{KEY_A}",
        "a:",
        f"a:{KEY_A},a:{KEY_B}",
        f"derived:{KEY_A}",
    ],
)
def test_an_invalid_key_ring_is_refused_without_showing_it(plain: Settings, ring: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        seal(replace(plain, encryption_keys=ring), uuid4(), "shopify", "token")
    assert "QUINTILE_ENCRYPTION_KEYS" in caught.value.message
    for part in (ring, KEY_A, KEY_B):
        assert part not in caught.value.message + caught.value.advice


def test_the_secret_key_is_generated_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path / "home"))
    first = secret_key(settings)
    assert len(first) >= 32
    assert secret_key(settings) == first
    path = tmp_path / "home" / "secret.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["secret.key"]


def test_passwords_of_roles_differ_and_depend_on_the_secret(plain: Settings) -> None:
    app = role_password(plain, "quintile_app")
    assert app != role_password(plain, "quintile_transform")
    assert app != role_password(replace(plain, secret_key="y"), "quintile_app")
    assert app == role_password(plain, "quintile_app")


def test_passwords_of_roles_do_not_follow_from_what_the_web_service_holds(tmp_path: Path) -> None:
    url = "postgresql://admin:admins@db.example.com/quintile"
    key = "0123456789abcdef" * 2
    settings = Settings(
        database_url=url, secret_key=key, role_secret_key=key[::-1], home=str(tmp_path)
    )
    environ = {
        "PATH": "/bin",
        "QUINTILE_DATABASE_URL": url,
        "QUINTILE_TRANSFORM_DATABASE_URL": url,
        "QUINTILE_SECRET_KEY": key,
        "QUINTILE_ROLE_SECRET_KEY": key[::-1],
    }
    held = web_environment(settings, environ)
    assert held.keys() == {"PATH", "QUINTILE_SECRET_KEY", "QUINTILE_APP_DATABASE_URL"}
    assert app_url(load_settings(held)) == app_url(settings)
    derived = role_password(load_settings(held), "quintile_transform")
    assert derived != role_password(settings, "quintile_transform")
    assert "admins" not in str(held)
