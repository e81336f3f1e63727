"""The secret of an installation, and the keys and passwords derived from it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from service.core.config import Settings


def secret_key(settings: Settings) -> bytes:
    """The installation's secret: QUINTILE_SECRET_KEY, or one generated in QUINTILE_HOME.

    The file has mode 0600 and is never overwritten, so processes that start at the same time get
    the same key.
    """
    if settings.secret_key:
        return settings.secret_key.encode()
    path = settings.home_dir / "secret.key"
    if not path.exists():
        _create_once(path, secrets.token_urlsafe(32))
    return path.read_text().strip().encode()


def derive(settings: Settings, purpose: str) -> bytes:
    """32 bytes for one purpose, by HMAC-SHA-256; independent of those for other purposes."""
    return _derive(secret_key(settings), purpose)


def derive_former(settings: Settings, purpose: str) -> bytes | None:
    """As :func:`derive`, from QUINTILE_FORMER_SECRET_KEY; None when that is not set."""
    former = settings.former_secret_key
    return _derive(former.encode(), purpose) if former else None


def role_password(settings: Settings, role: str) -> str:
    """Password of a database role, safe in a URL.

    With QUINTILE_ROLE_SECRET_KEY it does not follow from what the web service holds.
    """
    key = settings.role_secret_key.encode() or secret_key(settings)
    return base64.urlsafe_b64encode(_derive(key, f"database role {role}")).decode().rstrip("=")


def _derive(key: bytes, purpose: str) -> bytes:
    return hmac.new(key, purpose.encode(), hashlib.sha256).digest()


def _create_once(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        # A hard link is atomic, and fails if another process was first.
        path.hardlink_to(temporary)
    except FileExistsError:
        return
    finally:
        temporary.unlink()
