"""What people are told of errors that are not Quintile's own and that may pass by themselves."""

from __future__ import annotations

import errno

import psycopg

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full_disk(error: BaseException) -> bool:
    """Whether an error says that a disk of this machine is full, or a quota used up."""
    return isinstance(error, OSError) and error.errno in _FULL


def explain_failure(error: BaseException) -> tuple[str, str] | None:
    """What happened and what to do about it; None of an error that is not expected."""
    if is_full_disk(error):
        return (
            "A disk of this machine is full.",
            "Free some space for temporary files, or set TMPDIR to a directory on another disk."
            " Then start it again if it is not retried automatically.",
        )
    if isinstance(error, psycopg.errors.DiskFull):
        return (
            "The disk of the database is full.",
            "Free some space on its server. Then start it again if it is not retried"
            " automatically.",
        )
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return (
            "The connection to the database was lost.",
            "Start it again if it is not retried automatically.",
        )
    return None
