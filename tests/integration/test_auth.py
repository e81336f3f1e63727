"""API tokens and sign-in codes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from service.core.db import Connection, Pool
from service.tenants.sessions import begin_session_with_code, find_session
from service.tenants.tokens import (
    create_sign_in_code,
    create_token,
    find_token,
    parse_credential,
)

HOUR = timedelta(hours=1)


def test_a_token_authenticates_its_tenant(pool: Pool, owner: Connection, make_tenant) -> None:
    tenant_id = make_tenant("demo")
    token = create_token(owner, tenant_id, "test").token
    credential = find_token(pool, token)
    assert credential is not None
    assert credential.tenant_id == tenant_id
    used = owner.execute("select last_used_on = current_date as today from app.api_tokens")
    assert used.fetchone() == {"today": True}


def test_a_revoked_token_is_refused(pool: Pool, owner: Connection, make_tenant) -> None:
    token = create_token(owner, make_tenant(), "test").token
    owner.execute("update app.api_tokens set revoked_at = now()")
    assert find_token(pool, token) is None


def test_a_token_with_another_tenants_id_is_refused(
    pool: Pool, owner: Connection, make_tenant
) -> None:
    a, b = make_tenant("a"), make_tenant("b")
    token = create_token(owner, a, "test").token
    assert find_token(pool, token.replace(a.hex, b.hex)) is None


@pytest.mark.parametrize("text", ["", "qnt", "qnt_x_y", "Bearer x", "qnt_" + "0" * 32 + "_é"])
def test_malformed_tokens_are_not_parsed(text: str) -> None:
    assert parse_credential(text) is None


def test_a_sign_in_code_works_once(pool: Pool, owner: Connection, make_tenant) -> None:
    tenant_id = make_tenant()
    code = create_sign_in_code(owner, tenant_id, timedelta(hours=1))
    begun = begin_session_with_code(pool, code, HOUR)
    assert begun is not None
    access, secret = begun
    assert access.tenant_id == tenant_id
    assert find_session(pool, tenant_id, secret) is not None
    assert begin_session_with_code(pool, code, HOUR) is None
    kept = owner.execute("select * from app.sign_in_codes").fetchall()
    assert code not in str(kept)


def test_an_expired_sign_in_code_is_refused(pool: Pool, owner: Connection, make_tenant) -> None:
    code = create_sign_in_code(owner, make_tenant(), timedelta(seconds=-1))
    assert begin_session_with_code(pool, code, HOUR) is None


def test_codes_and_tokens_are_not_interchangeable(
    pool: Pool, owner: Connection, make_tenant
) -> None:
    tenant_id = make_tenant()
    token = create_token(owner, tenant_id, "test").token
    code = create_sign_in_code(owner, tenant_id, timedelta(hours=1))
    assert begin_session_with_code(pool, token, HOUR) is None
    assert find_token(pool, code) is None
