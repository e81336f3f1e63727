"""Log output: masked secrets, structure, standard error."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from service.core.config import Settings
from service.core.logs import configure_logging, mask_secrets

TOKEN = "qnt_0123456789abcdef0123456789abcdef_" + "x" * 43


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"GET with {TOKEN}!", "GET with qnt_***!"),
        ("key pk_0123456789abcdef", "key pk_***"),
        ("shpat_0123456789abcdef", "shpat_***"),
        ("postgresql://app:s3cret@host/db", "postgresql://app:***@host/db"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("the token eyJhbGciOi.eyJpc3MiOi.c2ln_x-9 is", "the token eyJ*** is"),
        ("Authorization: Klaviyo-API-Key abc", "Authorization: Klaviyo-API-Key ***"),
        ("postgresql://app@/db?host=/run", "postgresql://app@/db?host=/run"),
        ("qnt_short", "qnt_short"),
        ("refresh shprt_0123456789abcdef", "refresh shprt_***"),
        ("signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+/==", "signed with whsec_***"),
        ("host=db password=s3cret user=app", "host=db password=*** user=app"),
        ("password='it is \\'s3cret' user=app", "password=*** user=app"),
        (
            "grant_type=x&refresh_token=abc&client_secret=def",
            "grant_type=x&refresh_token=***&client_secret=***",
        ),
        ("host=db PASSWORD = s3cret", "host=db PASSWORD = ***"),
        ("Postgresql://app:s3cret@host/db", "Postgresql://app:***@host/db"),
        ("authorization: bearer abc.def", "authorization: bearer ***"),
        (
            '{"access_token": "a \\" b", "expires_in": 60, "Refresh_Token":"c"}',
            '{"access_token": ***, "expires_in": 60, "Refresh_Token":***}',
        ),
        ("{'password': 's3cret'}", "{'password': ***}"),
        (
            "a path\r\n2026 forged line\x1b[31m\u2028\u202e",
            "a path\\r\\n2026 forged line\\x1b[31m\\u2028\\u202e",
        ),
    ],
)
def test_credentials_are_masked(text: str, masked: str) -> None:
    event = {"event": text, "inside": {"deep": [text]}}
    assert mask_secrets(None, "info", event) == {"event": masked, "inside": {"deep": [masked]}}


def test_structlog_and_logging_write_json_with_the_bound_ids(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(Settings(log_format="json"))
    with structlog.contextvars.bound_contextvars(tenant_id="t", run_id="r"):
        structlog.get_logger("ours").info("landed", rows=3)
        logging.getLogger("theirs").warning("token %s refused", TOKEN)
    out, err = capsys.readouterr()
    ours, theirs = map(json.loads, err.splitlines())
    assert out == ""
    assert (ours["event"], ours["rows"], ours["tenant_id"], ours["run_id"]) == (
        "landed",
        3,
        "t",
        "r",
    )
    assert (theirs["event"], theirs["logger"]) == ("token qnt_*** refused", "theirs")


def test_a_traceback_is_masked_and_shows_no_local_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(Settings(log_format="console"))

    def fail() -> None:
        held = "".join(["a-", "local"])
        raise ValueError(f"{TOKEN} is bad for {len(held)} reasons")

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("failed")
    err = capsys.readouterr().err
    assert "ValueError: qnt_*** is bad" in err
    assert "a-local" not in err


def test_messages_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level="warning"))
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    err = capsys.readouterr().err
    assert "loud" in err
    assert "quiet" not in err
