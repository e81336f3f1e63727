"""The guards of the code: what each is, how it is removed, and the tests that notice it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """One guard.

    Args:
        name: What it is, in a few words.
        file: Its file in the checkout.
        text: The part of the file, which is there once.
        replacement: What takes its place.
        tests: The tests that notice it, in ``tests/``; the first failure ends them.
    """

    name: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]

    @property
    def has_own_templates(self) -> bool:
        """Whether databases are made of its file."""
        return self.file.startswith("sql/")

    @property
    def is_slow(self) -> bool:
        """Whether its tests make databases, or build."""
        builds = ("test_model_joins", "test_two_tenants", "test_unchanged_relations")
        return self.has_own_templates or any(name in test for test in self.tests for name in builds)


_ACCESS = "integration/test_api_access.py::"
_AUTH = "integration/test_auth.py::"
_BULK = "integration/test_shopify_bulk.py::"
_CREDENTIALS = "integration/test_api_credentials.py::"
_DELIVERIES = "integration/test_webhook_deliveries.py::"
_ISOLATION = "isolation/test_isolation.py::"
_PRIVACY = "integration/test_privacy.py::"
_PROOFS = "integration/test_webhook_proofs.py::"
_SLOW = "integration/test_slow_answers.py::"
_TWO_TENANTS = "property/test_two_tenants.py::test_neither_of_two_tenants_sees_the_other"
_UNCHANGED = "integration/test_unchanged_relations.py::"
_WEBHOOKS = "integration/test_webhooks.py::"

GUARDS = (
    # -- sessions and credentials
    Guard(
        "Origin check",
        "service/api/access.py",
        "if origin is not None and origin not in _own_origins():",
        "if False:",
        (f"{_ACCESS}test_a_session_can_change_data_only_from_our_own_pages",),
    ),
    Guard(
        "store of the page",
        "service/api/access.py",
        'if login.via == "session" and page_tenant != str(login.tenant_id):',
        "if False:",
        (f"{_ACCESS}test_a_page_of_a_store_changes_nothing_with_a_session_of_another",),
    ),
    Guard(
        "header of own requests",
        "service/api/access.py",
        'if request.headers.get(OWN_REQUEST_HEADER) != "1" and not is_own_form:',
        "if False:",
        (f"{_ACCESS}test_a_session_can_change_data_only_from_our_own_pages",),
    ),
    Guard(
        "scheme of the Origin",
        "service/api/access.py",
        'origins = {f"{request.scheme}://{request.host}"}',
        'origins = {f"http://{request.host}", f"https://{request.host}"}',
        (f"{_ACCESS}test_the_origin_has_the_scheme_of_the_request_or_is_the_public_one",),
    ),
    Guard(
        "check of own requests with a session",
        "service/api/access.py",
        'if login.via == "session" and request.method not in SAFE_METHODS:',
        "if False:",
        (f"{_ACCESS}test_a_session_can_change_data_only_from_our_own_pages",),
    ),
    Guard(
        "login of every route",
        "service/api/access.py",
        "    if login is None:\n        raise NotSignedInError\n",
        "    if login is None:\n        return\n",
        (f"{_ACCESS}test_every_route_needs_a_login_but_the_public_ones",),
    ),
    Guard(
        "token before session",
        "service/api/access.py",
        'login = _login_by_token() if "Authorization" in request.headers else _login_by_session()',
        "login = _login_by_session() or _login_by_token()",
        (f"{_ACCESS}test_a_wrong_token_is_refused_despite_a_session",),
    ),
    Guard(
        "scopes",
        "service/api/access.py",
        "if SCOPES.index(login.access.scope) < SCOPES.index(needed):",
        "if False:",
        (f"{_CREDENTIALS}test_every_route_refuses_every_credential_that_does_not_allow_it",),
    ),
    Guard(
        "session.clear when signing out",
        "service/api/access.py",
        'session["secret"])\n    session.clear()\n',
        'session["secret"])\n',
        (f"{_ACCESS}test_signing_out_ends_the_session",),
    ),
    Guard(
        "session.clear of a session that has ended",
        "service/api/access.py",
        "    if access is None:\n        session.clear()\n",
        "    if access is None:\n",
        (f"{_ACCESS}test_a_session_that_has_ended_leaves_no_cookie",),
    ),
    Guard(
        "end of a session on the server",
        "service/api/access.py",
        'sessions.end_session(state().pool, UUID(hex=session["tenant"]), session["secret"])',
        "pass",
        (f"{_CREDENTIALS}test_signing_out_ends_a_session_also_for_a_copied_cookie",),
    ),
    Guard(
        "end of the former session when signing in",
        "service/api/access.py",
        "    end_session()\n    session.permanent = True\n",
        "    session.permanent = True\n",
        (f"{_CREDENTIALS}test_signing_in_again_ends_the_former_session",),
    ),
    Guard(
        "limit of requests of a credential",
        "service/api/access.py",
        '    state().limits.count_request(f"{login.tenant_id} {credential}")\n',
        "",
        (f"{_CREDENTIALS}test_a_credential_and_a_failing_address_have_limits",),
    ),
    Guard(
        "limit of invalid credentials",
        "service/api/access.py",
        "    if found is None:\n        state().limits.count_failure(",
        "    if False:\n        state().limits.count_failure(",
        (f"{_CREDENTIALS}test_a_credential_and_a_failing_address_have_limits",),
    ),
    Guard(
        "limit by network of IPv6",
        "service/api/rate_limits.py",
        "return str(ip_network((parsed, 64), strict=False))",
        "return str(parsed)",
        (f"{_CREDENTIALS}test_a_credential_and_a_failing_address_have_limits",),
    ),
    Guard(
        "read-only transactions of GET",
        "service/api/access.py",
        "read_only = read_only or request.method in SAFE_METHODS",
        "read_only = bool(read_only)",
        (f"{_ACCESS}test_a_get_cannot_write",),
    ),
    Guard(
        "statement timeout",
        "service/api/access.py",
        "timeout_ms=state().settings.statement_timeout_ms,",
        "timeout_ms=0,",
        (f"{_ACCESS}test_a_query_that_takes_too_long_is_cut_off",),
    ),
    Guard(
        "secure cookies",
        "service/app.py",
        "return request.is_secure",
        "return False",
        (f"{_ACCESS}test_https_gets_a_secure_cookie_and_hsts",),
    ),
    Guard(
        "HSTS",
        "service/app.py",
        "    if request.is_secure:\n",
        "    if False:\n",
        (f"{_ACCESS}test_https_gets_a_secure_cookie_and_hsts",),
    ),
    Guard(
        "limit of a body",
        "service/app.py",
        "MAX_CONTENT_LENGTH=MAX_BODY_BYTES,",
        "MAX_CONTENT_LENGTH=None,",
        (f"{_ACCESS}test_a_body_that_is_too_large_is_a_problem",),
    ),
    Guard(
        "content security policy",
        "service/app.py",
        '    headers["Content-Security-Policy"] = policy\n',
        "",
        (f"{_ACCESS}test_every_response_has_the_security_headers",),
    ),
    Guard(
        "JSON that is nested too deeply",
        "service/app.py",
        "except RecursionError:",
        "except FloatingPointError:",
        (
            "integration/test_api_conventions.py"
            "::test_no_route_fails_over_a_body_that_is_nested_too_deeply_or_holds_nul",
        ),
    ),
    Guard(
        "revoked tokens",
        "service/tenants/sql/tokens.sql",
        "    and token_hash = %(token_hash)s\n    and revoked_at is null\n",
        "    and token_hash = %(token_hash)s\n",
        (f"{_AUTH}test_a_revoked_token_is_refused",),
    ),
    Guard(
        "sign-in links work once",
        "service/tenants/sql/tokens.sql",
        "    and used_at is null\n    and expires_at > now()\nreturning person, scope;",
        "    and expires_at > now()\nreturning person, scope;",
        (f"{_AUTH}test_a_sign_in_code_works_once",),
    ),
    Guard(
        "sign-in links expire",
        "service/tenants/sql/tokens.sql",
        "    and used_at is null\n    and expires_at > now()\nreturning person, scope;",
        "    and used_at is null\nreturning person, scope;",
        (f"{_AUTH}test_an_expired_sign_in_code_is_refused",),
    ),
    Guard(
        "sessions expire",
        "service/tenants/sql/sessions.sql",
        "    and s.session_hash = %(session_hash)s\n    and s.expires_at > now()\n",
        "    and s.session_hash = %(session_hash)s\n",
        (f"{_CREDENTIALS}test_a_session_does_not_outlive_its_lifetime",),
    ),
    Guard(
        "no redirect to other sites after signing in",
        "service/ui/sign_in.py",
        "if is_sign_in or _LOCAL_PATH.fullmatch(text) is None:",
        "if is_sign_in:",
        ("unit/test_api_sign_in.py::test_anything_else_becomes_the_start_page",),
    ),
    Guard(
        "signature of a platform's token",
        "service/tenants/platform_tokens.py",
        'options={"require": ["exp", "iss", "aud", issuer.tenant_claim]},',
        'options={"require": ["exp", "iss", "aud"], "verify_signature": False},',
        (f"{_CREDENTIALS}test_a_platforms_token_with_a_shared_secret",),
    ),
    Guard(
        "issuer of a platform's token",
        "service/tenants/platform_tokens.py",
        'if claims["iss"] != issuer.issuer.replace("{shop}", shop or ""):',
        "if False:",
        (f"{_CREDENTIALS}test_a_platforms_token_with_a_shared_secret",),
    ),
    Guard(
        "cursors belong to a tenant and list",
        "service/api/cursors.py",
        "return json.dumps([str(tenant_id()), request.path, *bound_to]).encode()",
        'return b""',
        ("unit/test_api_paging.py::test_a_cursor_belongs_to_its_list_filters_path_and_tenant",),
    ),
    Guard(
        "metrics for this machine only",
        "service/core/metrics.py",
        "return _is_loopback(address) and host in _LOCAL_NAMES and not is_forwarded",
        "return host in _LOCAL_NAMES and not is_forwarded",
        ("integration/test_metrics.py::test_without_a_token_only_the_local_machine_reads_metrics",),
    ),
    Guard(
        "no metrics through a proxy",
        "service/core/metrics.py",
        "return _is_loopback(address) and host in _LOCAL_NAMES and not is_forwarded",
        "return _is_loopback(address) and host in _LOCAL_NAMES",
        ("integration/test_metrics.py::test_without_a_token_only_the_local_machine_reads_metrics",),
    ),
    Guard(
        "scripts of other sites",
        "service/api/browsers.py",
        'return request.path.startswith("/api/") and request.headers.get("Origin") in origins',
        'return "Origin" in request.headers',
        (f"{_CREDENTIALS}test_other_sites_scripts_and_frames_are_allowed_only_by_the_settings",),
    ),
    Guard(
        "frames of other sites",
        "service/app.py",
        """or "'none'"\n""",
        'or "*"\n',
        (f"{_CREDENTIALS}test_other_sites_scripts_and_frames_are_allowed_only_by_the_settings",),
    ),
    Guard(
        "limit of requests at the same time",
        "service/api/capacity.py",
        "if not self._free.acquire(blocking=False):",
        "if not self._free.acquire(blocking=True):",
        ("integration/test_web_server.py::test_a_busy_service_answers_every_request",),
    ),
    Guard(
        "an Idempotency-Key belongs to its credential",
        "service/api/idempotency.py",
        'credential=str(who.credential_id or f"{who.kind} {who.actor}"),',
        'credential="any",',
        ("integration/test_api_idempotency.py::test_a_key_belongs_to_its_credential_and_tenant",),
    ),
    Guard(
        "names of actors",
        "service/tenants/tokens.py",
        "if name.lower().startswith(_RESERVED):",
        "if False:",
        (f"{_CREDENTIALS}test_nobody_is_called_like_another_kind_of_actor",),
    ),
    Guard(
        "length of a platform's secret",
        "service/tenants/platform_tokens.py",
        "if settings.jwt_secret and len(settings.jwt_secret.encode()) < _SHORTEST_SECRET:",
        "if False:",
        (f"{_CREDENTIALS}test_incomplete_settings_of_a_platform_are_refused",),
    ),
    Guard(
        "keys of a platform by https",
        "service/tenants/platform_tokens.py",
        'if parts.scheme != "https" and parts.hostname not in LOOPBACK:',
        "if False:",
        (f"{_CREDENTIALS}test_incomplete_settings_of_a_platform_are_refused",),
    ),
    Guard(
        "token of metrics",
        "service/core/metrics.py",
        'return hmac.compare_digest(given.encode(), f"Bearer {settings.metrics_token}".encode())',
        "return bool(given)",
        ("integration/test_metrics.py::test_with_a_token_metrics_require_it",),
    ),
    # -- secrets and files
    Guard(
        "weak secret keys",
        "service/core/config.py",
        "if key and (len(key) < _SHORTEST_SECRET or len(set(key)) < _FEWEST_CHARACTERS):",
        "if False:",
        ("unit/test_config.py::test_an_invalid_value_is_refused_with_the_variable",),
    ),
    Guard(
        "secret keys with few characters",
        "service/core/config.py",
        "if key and (len(key) < _SHORTEST_SECRET or len(set(key)) < _FEWEST_CHARACTERS):",
        "if key and len(key) < _SHORTEST_SECRET:",
        ("unit/test_config.py::test_an_invalid_value_is_refused_with_the_variable",),
    ),
    Guard(
        "example secrets",
        "service/core/config.py",
        "if getattr(settings, item.name).lower() in _EXAMPLES:",
        "if False:",
        ("unit/test_config.py::test_an_invalid_value_is_refused_with_the_variable",),
    ),
    Guard(
        "passwords of roles do not follow from the web service's secret",
        "service/core/secrets.py",
        "key = settings.role_secret_key.encode() or secret_key(settings)",
        "key = secret_key(settings)",
        (
            "unit/test_vault.py"
            "::test_passwords_of_roles_do_not_follow_from_what_the_web_service_holds",
        ),
    ),
    Guard(
        "sealed secrets belong to a tenant and provider",
        "service/core/vault.py",
        'return f"{tenant_id}|{provider}".encode()',
        'return b""',
        ("unit/test_vault.py::test_a_sealed_secret_does_not_open_for_another_tenant_or_provider",),
    ),
    Guard(
        "rotation of keys reseals privacy exports",
        "service/tenants/sql/keys.sql",
        "from app.privacy_exports",
        "from (select * from app.privacy_exports limit 0) as none",
        ("integration/test_keys.py::test_rotation_reseals_everything_that_is_sealed",),
    ),
    Guard(
        "credentials in logs",
        "service/core/logs.py",
        "_CONTROL.sub(partial(_escape, keep=keep), _SECRETS.sub(_mask, value))",
        "_CONTROL.sub(partial(_escape, keep=keep), value)",
        ("unit/test_api_logs.py::test_credentials_are_masked",),
    ),
    Guard(
        "control characters in logs",
        "service/core/logs.py",
        "_CONTROL.sub(partial(_escape, keep=keep), _SECRETS.sub(_mask, value))",
        "_SECRETS.sub(_mask, value)",
        ("unit/test_api_logs.py::test_credentials_are_masked",),
    ),
    Guard(
        "formulas in CSV",
        "service/core/csv_stream.py",
        """return f"'{text}" if _FORMULA.match(text) else text""",
        "return text",
        ("integration/test_csv_stream.py::test_formulas_are_escaped_and_lists_joined",),
    ),
    Guard(
        "formulas in items of a list in CSV",
        "service/core/csv_stream.py",
        '"" if item is None else _escape(str(item)) for item in value',
        '"" if item is None else str(item) for item in value',
        (
            "integration/test_csv_stream.py::test_every_item_of_a_list_is_escaped_and_numbers_are_not",
        ),
    ),
    Guard(
        "mode of the file of the secret key",
        "service/core/secrets.py",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)",
        (
            "unit/test_vault.py"
            "::test_the_secret_key_is_generated_once_and_readable_by_its_owner_only",
        ),
    ),
    Guard(
        "privacy exports expire",
        "service/privacy/sql/requests.sql",
        "where tenant_id = %(tenant_id)s and export_id = %(export_id)s and expires_at > now();",
        "where tenant_id = %(tenant_id)s and export_id = %(export_id)s;",
        (f"{_PRIVACY}test_an_export_expires",),
    ),
    # -- calls to other servers
    Guard(
        "private addresses when an address is stored",
        "service/notifications/address.py",
        "if not may_be_private and (is_local_name or (literal and not is_public(literal))):",
        "if not may_be_private and is_local_name:",
        (f"{_DELIVERIES}test_an_address_in_a_private_network_is_not_stored",),
    ),
    Guard(
        "names of the local network when an address is stored",
        "service/notifications/address.py",
        "if not may_be_private and (is_local_name or (literal and not is_public(literal))):",
        "if not may_be_private and literal and not is_public(literal):",
        (f"{_DELIVERIES}test_a_name_that_resolves_to_a_private_address_is_refused_when_sending",),
    ),
    Guard(
        "private addresses when a message is sent",
        "service/notifications/address.py",
        "if not may_be_private and not all(map(is_public, addresses)):",
        "if False:",
        (f"{_DELIVERIES}test_a_name_that_resolves_to_a_private_address_is_refused_when_sending",),
    ),
    Guard(
        "all addresses of a name are public",
        "service/notifications/address.py",
        "if not may_be_private and not all(map(is_public, addresses)):",
        "if not may_be_private and not is_public(addresses[0]):",
        (f"{_DELIVERIES}test_a_name_with_one_private_address_is_refused",),
    ),
    Guard(
        "IPv4 addresses inside of IPv6 addresses",
        "service/notifications/address.py",
        "if any(address in prefix for prefix in _EMBEDDED_IPV4):",
        "if False:",
        (f"{_DELIVERIES}test_public_addresses",),
    ),
    Guard(
        "addresses that Python takes for global",
        "service/notifications/address.py",
        "return address.is_global and not address.is_multicast and not is_reserved",
        "return address.is_global and not address.is_multicast",
        (f"{_DELIVERIES}test_public_addresses",),
    ),
    Guard(
        "the checked address is called",
        "service/notifications/delivery.py",
        "target.copy_with(host=address),",
        "target,",
        (f"{_DELIVERIES}test_the_address_that_was_checked_is_called",),
    ),
    Guard(
        "TLS for the host's name",
        "service/notifications/delivery.py",
        'extensions={"sni_hostname": host},',
        "extensions={},",
        (f"{_DELIVERIES}test_tls_verifies_the_host_name_although_the_address_is_resolved_before",),
    ),
    Guard(
        "redirects of receivers",
        "service/notifications/delivery.py",
        "httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client,",
        "httpx.AsyncClient(timeout=DEADLINE_SECONDS, follow_redirects=True) as client,",
        (f"{_DELIVERIES}test_a_test_message_is_sent_by_the_worker_and_redirects_are_not_followed",),
    ),
    Guard(
        "time limit of a receiver",
        "service/notifications/delivery.py",
        "async with asyncio.timeout(DEADLINE_SECONDS):",
        "async with asyncio.timeout(None):",
        (
            f"{_DELIVERIES}"
            "test_a_receiver_that_drips_bytes_holds_neither_the_worker_nor_other_endpoints",
        ),
    ),
    Guard(
        "signature of an outgoing message",
        "service/notifications/delivery.py",
        'signed = b".".join((message_id.encode(), str(timestamp).encode(), body))',
        "signed = body",
        (f"{_DELIVERIES}test_only_changes_of_lists_are_sent_and_messages_are_signed",),
    ),
    Guard(
        "number of calls of one tenant's receivers",
        "service/notifications/jobs.py",
        "_LANES = 2\n",
        "_LANES = 2**64\n",
        (f"{_DELIVERIES}test_a_store_has_two_calls_at_the_same_time_at_most",),
    ),
    Guard(
        "redirects of Shopify and Klaviyo",
        "service/core/http.py",
        "timeout=httpx.Timeout(timeout, connect=10),",
        "timeout=httpx.Timeout(timeout, connect=10), follow_redirects=True,",
        ("unit/test_shopify_client.py::test_a_redirect_is_not_followed_and_has_advice",),
    ),
    Guard(
        "time limit of a call",
        "service/core/http.py",
        "_bound_reads(transport)\n\n    def send",
        "pass\n\n    def send",
        (f"{_SLOW}test_a_call_ends_however_slowly_its_answer_arrives",),
    ),
    Guard(
        "size of an answer",
        "service/core/http.py",
        "            if len(body) > most_bytes:\n",
        "            if False:\n",
        (f"{_SLOW}test_an_answer_is_decompressed_up_to_a_limit",),
    ),
    Guard(
        "time limit of a file",
        "service/core/http.py",
        "stream.ends_at = time.monotonic() + seconds",
        "stream.ends_at = None",
        (f"{_SLOW}test_a_file_ends_however_slowly_it_arrives",),
    ),
    Guard(
        "files from Shopify's servers only",
        "service/shopify/jsonl.py",
        'or not f".{host}".endswith(_FILE_HOSTS)',
        "or False",
        (f"{_BULK}test_a_file_is_fetched_from_shopify_only",),
    ),
    Guard(
        "files by https only",
        "service/shopify/jsonl.py",
        'parts.scheme != "https"\n        or',
        "False\n        or",
        (f"{_BULK}test_a_file_is_fetched_from_shopify_only",),
    ),
    Guard(
        "decompression in pieces",
        "service/core/http.py",
        "yield unpacked.decompress(rest, _PIECE_BYTES)",
        "yield unpacked.decompress(rest)",
        (f"{_BULK}test_a_file_that_grows_when_it_is_decompressed_is_not_held_in_memory",),
    ),
    Guard(
        "time limit of a request's body",
        "service/web_server.py",
        'environ["wsgi.input"] = _Body(environ["wsgi.input"])',
        "pass",
        ("integration/test_web_server.py::test_a_body_that_does_not_arrive_in_time_is_given_up",),
    ),
    # -- webhooks of stores
    Guard(
        "signature of a webhook",
        "service/webhooks/inbox.py",
        "if not is_signed(settings, delivery.shop, delivery.body, delivery.signature):",
        "if False:",
        (f"{_WEBHOOKS}test_an_unsigned_webhook_is_refused_without_any_information",),
    ),
    Guard(
        "signature of the whole body",
        "service/webhooks/signature.py",
        "is_match |= hmac.compare_digest(sign(secret, body), given)",
        "is_match |= bool(given)",
        (f"{_WEBHOOKS}test_a_body_that_was_altered_is_refused",),
    ),
    Guard(
        "secrets of a shop's own app",
        "service/core/config.py",
        'return found.get(shop) or found.get("", [])',
        "return [secret for secrets in found.values() for secret in secrets]",
        (f"{_PROOFS}test_a_secret_signs_for_the_stores_of_its_app_only",),
    ),
    Guard(
        "shop in the body",
        "service/webhooks/inbox.py",
        "if named - {delivery.shop}:",
        "if False:",
        (f"{_WEBHOOKS}test_a_body_that_names_another_shop_is_refused",),
    ),
    Guard(
        "future and old times",
        "service/webhooks/inbox.py",
        "if at is None or not now - MAX_AGE <= at <= now + MAX_AHEAD:",
        "if False:",
        (f"{_PROOFS}test_a_webhook_of_another_time_is_refused",),
    ),
    Guard(
        "webhooks without a time",
        "service/webhooks/inbox.py",
        "if at is None or not now - MAX_AGE <= at <= now + MAX_AHEAD:",
        "if at is not None and not now - MAX_AGE <= at <= now + MAX_AHEAD:",
        (f"{_PROOFS}test_a_webhook_of_another_time_is_refused",),
    ),
    Guard(
        "replay under a new id",
        "service/webhooks/sql/events.sql",
        "            and e.signature = %(signature)s\n            and e.kind is not null\n",
        "            and false\n",
        (f"{_PROOFS}test_the_same_body_under_a_new_id_is_a_replay",),
    ),
    Guard(
        "erasure whose body names no shop",
        "service/privacy/confirmation.py",
        "    if not is_shop_named:\n        raise HeldError(_NO_SHOP)\n    gid =",
        "    gid =",
        (f"{_PROOFS}test_an_erasure_whose_body_names_no_shop_is_held",),
    ),
    Guard(
        "erasure of a shop whose body names no shop",
        "service/privacy/confirmation.py",
        "    if not is_shop_named:\n        raise HeldError(_NO_SHOP)\n    removal =",
        "    removal =",
        (f"{_PROOFS}test_an_erasure_of_a_shop_that_is_not_named_is_held",),
    ),
    Guard(
        "the store confirms the erasure of a customer",
        "service/privacy/confirmation.py",
        "    if not is_erased:\n",
        "    if False:\n",
        (f"{_PROOFS}test_a_customer_whom_the_store_has_not_erased_waits_for_a_person",),
    ),
    Guard(
        "the store confirms its own erasure",
        "service/privacy/confirmation.py",
        'if removal is None or not removal["is_removed"]:',
        "if removal is None:",
        (f"{_PRIVACY}test_shop_redact_is_held_unless_the_removal_was_confirmed_a_day_ago",),
    ),
    Guard(
        "a day after the removal",
        "service/privacy/confirmation.py",
        'if removal["seconds_left"] > 0:',
        "if False:",
        (f"{_PRIVACY}test_shop_redact_waits_for_a_day_after_the_removal",),
    ),
    Guard(
        "the store confirms the removal of the app",
        "service/webhooks/process.py",
        "if not due.is_confirmed and _is_installed(session, is_lasting=is_lasting):",
        "if False:",
        (f"{_PROOFS}test_the_app_is_removed_only_if_the_store_refuses_its_token",),
    ),
    Guard(
        "a refusal has to last",
        "service/webhooks/process.py",
        "if is_other or not is_lasting:",
        "if is_other:",
        (f"{_PROOFS}test_a_passing_refusal_removes_nothing",),
    ),
    Guard(
        "a refused renewal proves nothing",
        "service/webhooks/process.py",
        "if is_other or not is_lasting:",
        "if not is_lasting:",
        (f"{_PROOFS}test_a_removal_is_held_while_the_store_refuses_to_renew_the_token",),
    ),
    Guard(
        "a refused renewal does not confirm the erasure of a shop",
        "service/privacy/confirmation.py",
        "if is_other or not is_lasting:",
        "if not is_lasting:",
        (
            f"{_PROOFS}test_the_erasure_of_a_shop_whose_tokens_expire_needs_no_person_if_the_app"
            "_is_not_installed",
        ),
    ),
    Guard(
        "the store confirms deletions",
        "service/webhooks/process.py",
        "elif found.nodes[due.subject] is None:\n                mark(",
        "elif True:\n                mark(",
        (f"{_PROOFS}test_a_deletion_that_the_store_does_not_show_is_not_done",),
    ),
    Guard(
        "the body of a change deletes nothing",
        "service/webhooks/topics.py",
        '        if "updated_at" in payload:\n',
        "        if False:\n",
        (f"{_PROOFS}test_the_body_of_a_change_deletes_nothing",),
    ),
    Guard(
        "bodies of the removal of the app",
        "service/webhooks/topics.py",
        'if not payload.get("myshopify_domain"):',
        "if False:",
        (f"{_PROOFS}test_a_body_of_another_topic_is_no_removal_and_no_erasure",),
    ),
    Guard(
        "bodies of the erasure of a customer",
        "service/webhooks/topics.py",
        'if "orders_to_redact" not in payload:',
        "if False:",
        (f"{_PROOFS}test_a_body_of_another_topic_is_no_removal_and_no_erasure",),
    ),
    Guard(
        "bodies of the erasure of a shop",
        "service/webhooks/topics.py",
        '    if "customer" in payload:\n',
        "    if False:\n",
        (f"{_PROOFS}test_a_body_of_another_topic_is_no_removal_and_no_erasure",),
    ),
    Guard(
        "size of a webhook",
        "service/api/admission.py",
        "request.max_content_length = _MAX_BODY_BYTES[request.endpoint]",
        "request.max_content_length = None",
        (f"{_WEBHOOKS}test_a_body_over_the_limit_is_refused",),
    ),
    Guard(
        "an erasure waits for the tables of a plain build",
        "service/builds/locks.py",
        'with advisory_lock(conn, "plain build", report):',
        'with advisory_lock(conn, "plain build", report, is_shared=True):',
        (f"{_PRIVACY}test_a_person_who_is_erased_during_a_plain_build_does_not_come_back",),
    ),
    Guard(
        "a store that was connected again is not erased",
        "service/privacy/requests.py",
        "    if connected is not None:\n",
        "    if False:\n",
        (f"{_PRIVACY}test_a_store_that_was_connected_again_is_not_erased",),
    ),
    # -- tenants: the transaction, and what crosses it
    Guard(
        "the tenant ends with its transaction",
        "service/core/sql/database.sql",
        "set_config('app.tenant_id', %(current_tenant_id)s, true),",
        "set_config('app.tenant_id', %(current_tenant_id)s, false),",
        (f"{_ISOLATION}test_the_tenant_ends_with_its_transaction",),
    ),
    Guard(
        "roles that may do more are refused",
        "service/core/db.py",
        '    if row["powers"]:\n',
        "    if False:\n",
        (f"{_ISOLATION}test_the_service_refuses_a_role_that_sees_all_tenants",),
    ),
    Guard(
        "creators by e-mail within the tenant",
        "models/intermediate/samples/int_samples_matched_to_creators.sql",
        "            s.tenant_id = i.tenant_id\n            and i.kind = 'email'\n",
        "            i.kind = 'email'\n",
        ("integration/test_model_joins.py::test_every_model_joins_rows_of_one_tenant",),
    ),
    Guard(
        "creators of a person within the tenant",
        "service/privacy/sql/find_person.sql",
        "            c.tenant_id = %(tenant_id)s\n            and (\n                c.email in",
        "            true\n            and (\n                c.email in",
        ("unit/test_tenant_predicates.py::test_every_statement_names_the_tenant",),
    ),
    Guard(
        "list of creators within the tenant",
        "service/api/sql/creators.sql",
        "    c.tenant_id = %(tenant_id)s\n    and (%(creator_id)s::uuid is null",
        "    (%(creator_id)s::uuid is null",
        (_TWO_TENANTS,),
    ),
    Guard(
        "promo codes within the tenant",
        "service/promo_codes/sql/codes.sql",
        "    from app.promo_codes as p\n    where p.tenant_id = %(tenant_id)s\n),",
        "    from app.promo_codes as p\n),",
        (_TWO_TENANTS,),
    ),
    Guard(
        "segment names within the tenant",
        "service/segments/sql/segments.sql",
        "    %(source)s = 'shopify'\n    and c.tenant_id = %(tenant_id)s\n",
        "    %(source)s = 'shopify'\n",
        (_TWO_TENANTS,),
    ),
    # -- the database; the last, because each has databases of its own
    Guard(
        "erasure of a person limited to the tenant",
        "sql/migrations/0011_webhooks.sql",
        "return 'tenant_id = $1 and (' || concat_ws(",
        "return '$1 is not null and (' || concat_ws(",
        (f"{_PRIVACY}test_what_is_built_is_exported_and_erased_of_one_tenant_only",),
    ),
    Guard(
        "complete build after a change of a relation",
        "service/builds/relations.py",
        'return bool(row["are_recorded"])',
        "return True",
        (f"{_UNCHANGED}test_a_broken_guarantee_is_found_by_its_test",),
    ),
    Guard(
        "erasure of a tenant limited to the tenant",
        "sql/migrations/0011_webhooks.sql",
        "execute format('delete from %s where tenant_id = $1', relation) using tenant;",
        "execute format('delete from %s where $1 is not null', relation) using tenant;",
        (f"{_PRIVACY}test_what_is_built_is_exported_and_erased_of_one_tenant_only",),
    ),
    Guard(
        "protection of tables",
        "sql/rls/protect.sql",
        "execute pg_catalog.format('alter table %s force row level security', relation);",
        "null;",
        (f"{_ISOLATION}test_protect_restores_the_policies_of_a_table",),
    ),
    Guard(
        "policy of the queue",
        "sql/rls/queue.sql",
        "    with check (\n        args ->> 'tenant_id' = "
        "(select nullif(current_setting('app.tenant_id', true), ''))\n    );",
        "    with check (true);",
        (f"{_ISOLATION}test_a_tenant_cannot_queue_jobs_of_another",),
    ),
    Guard(
        "TRUNCATE is not granted",
        "sql/migrations/0002_landed.sql",
        "grant select, insert, update, delete on all tables in schema shopify to quintile_app;",
        "grant select, insert, update, delete, truncate on all tables in schema shopify"
        " to quintile_app;",
        (f"{_ISOLATION}test_a_tenant_cannot_write_rows_of_another",),
    ),
)
