"""One run over a tenant's Klaviyo lists: read each list, plan in SQL, carry the plan out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx
import psycopg
from psycopg import sql

from service.core.config import Settings
from service.core.credentials import record_accepted
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import QuintileError
from service.core.queries import query
from service.core.spool import Row, Spool, open_spool
from service.destinations.configs import NoLongerWantedError, lock_config, pause_all_for_key
from service.destinations.plan import (
    Plan,
    SegmentGoneError,
    apply_plan,
    create_members,
    plan,
    record_planned,
)
from service.destinations.sync_runs import Outcome, begin, finish, record_plan, rows_to_do
from service.klaviyo.account import read_list_flows
from service.klaviyo.client import (
    KlaviyoClient,
    KlaviyoError,
    KlaviyoRefusedError,
    KlaviyoScopeError,
    KlaviyoUnavailableError,
)
from service.klaviyo.connection import open_connected_klaviyo
from service.klaviyo.events import send_events
from service.klaviyo.list_members import SUPPRESSED, Readings
from service.klaviyo.push import Limits, Target, refresh, remove, send
from service.queue.progress import Progress, RunProgress
from service.queue.retry import HandedBackError
from service.queue.runs import LostRunError

_DEFAULT_LIMITS = Limits()
# A round trip for every hundred rows, the driver's default, would take longer than the plan.
_FETCHED_ROWS = 5000
_FLOWS_UNKNOWN = (
    "Whether the list starts flows cannot be told: the API key lacks the scope flows:read."
)

Config = Mapping[str, Any]


# What ends a process's part in a run, and not the run.
_NO_OUTCOME = (HandedBackError, LostRunError)


class ListGoneError(QuintileError):
    """The list no longer exists in Klaviyo."""


def sync_klaviyo(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    progress: RunProgress,
    *,
    limits: Limits = _DEFAULT_LIMITS,
) -> None:
    """Do what the run's rows in app.klaviyo_sync_runs ask for; each says then what became of it.

    A run without rows does every configuration that is not paused. Counts, by way of ``progress``:
    addresses added, removed, updated and rejected; profiles that have joined and left a list that
    is pulled; skipped, which are members that are not to be written to; configurations paused, or
    stopped to ask; events; calls to Klaviyo. A list that needs no change costs no writing call.

    A list or segment that no longer exists pauses its configuration with the reason, a key that is
    refused pauses all. Trouble with one list does not keep the others from being synced; the first
    of it is raised at the end.

    Raises:
        NotConnectedError: The tenant is not connected to Klaviyo.
        KlaviyoRefusedError: The key is not accepted; the connection now says so.
        KlaviyoUnavailableError: Klaviyo cannot be reached; at once.
        MartsMissingError: dbt has not built the marts yet.
        KlaviyoError: Klaviyo did not do what was asked; what it accepted is recorded.
    """
    with tenant_transaction(pool, tenant_id) as conn:
        configs = rows_to_do(conn, tenant_id, progress.run_id)
    with ExitStack() as spools, open_connected_klaviyo(settings, pool, tenant_id) as client:
        readings = Readings(settings, client, pool, tenant_id, spools)
        run = _Run(settings, client, pool, tenant_id, progress, limits, readings)
        try:
            failures = _do_all(run, configs)
            if client.calls:
                with tenant_transaction(pool, tenant_id) as conn:
                    record_accepted(conn, tenant_id, "klaviyo")
        finally:
            progress.count(calls=client.calls)
    if failures:
        raise failures[0]


@dataclass(frozen=True)
class _Run:
    """What every configuration's turn needs."""

    settings: Settings
    client: KlaviyoClient
    pool: Pool
    tenant_id: UUID
    progress: RunProgress
    limits: Limits
    readings: Readings

    def target(self, config: Config) -> Target:
        """The configuration's list, to write to."""
        return Target(
            self.client, self.pool, self.tenant_id, config["config_id"], config["list_id"]
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction of the tenant."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            yield conn

    def execute(self, statement: sql.SQL, config: Config, **parameters: object) -> None:
        """One statement about a configuration, in a transaction of its own."""
        with self.transaction() as conn:
            conn.execute(
                statement,
                {
                    "tenant_id": self.tenant_id,
                    "config_id": config["config_id"],
                    "list_id": config["list_id"],
                    **parameters,
                },
            )


class _Tally:
    """Progress that is also counted by itself: what one configuration's turn came to."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.counts: Counter[str] = Counter()

    def phase(self, name: str, total: int | None = None) -> None:
        """As the run's."""
        self._progress.phase(name, total)

    def advance(self, done: int = 1) -> None:
        """As the run's."""
        self._progress.advance(done)

    def count(self, **counts: int) -> None:
        """As the run's, and the turn's."""
        self.counts.update(counts)
        self._progress.count(**counts)


# -- all configurations of a run ----------------------------------------------------------------


def _do_all(run: _Run, configs: list[dict[str, Any]]) -> list[QuintileError]:
    """Do each configuration; returns the troubles that do not concern the ones after them."""
    failures: list[QuintileError] = []
    written: Config | None = None
    waiting = list(configs)
    try:
        while waiting:
            config = _begin(run, waiting[0])
            failure = None if config is None else _do(run, config)
            del waiting[0]
            if failure is not None:
                failures.append(failure)
            elif config is not None and _is_writing(config):
                written = config
        if written is not None:
            _refresh_profiles(run, written)
    except _NO_OUTCOME:
        # Whoever takes the run over, or up again, says what becomes of its rows.
        raise
    except KlaviyoRefusedError as error:
        with run.transaction() as conn:
            pause_all_for_key(conn, run.tenant_id, error.message)
        _finish_all(run, waiting, replace(_failed(error), state="paused"))
        raise
    except QuintileError as error:
        _finish_all(run, waiting, _failed(error))
        raise
    except Exception as error:
        # Its text may hold anything: the log has it.
        message = f"Something unforeseen went wrong ({type(error).__name__})."
        _finish_all(run, waiting, Outcome("failed", error=message))
        raise
    return failures


def _begin(run: _Run, config: Config) -> Config | None:
    """The configuration as it is now that its turn has come; None when it has been given up."""
    with run.transaction() as conn:
        return begin(conn, run.tenant_id, run.progress.run_id, config["config_id"])


def _is_writing(config: Config) -> bool:
    return config["direction"] != "pull" and not config["is_dry_run"] and not config["is_paused"]


def _do(run: _Run, config: Config) -> QuintileError | None:
    """One configuration's turn; returns trouble that is its own."""
    tally = _Tally(run.progress)
    calls_before = run.client.calls
    failure = None
    tally.phase(f"list {config['list_name']}")
    try:
        outcome = _sync(run, config, tally)
    except NoLongerWantedError as error:
        outcome = Outcome("paused", error=error.message)
    except (SegmentGoneError, ListGoneError) as error:
        # An empty segment empties its list, a deleted one must not.
        outcome = _pause(run, config, error, tally)
    except (KlaviyoRefusedError, KlaviyoUnavailableError, *_NO_OUTCOME):
        # The next list would meet the same.
        raise
    except QuintileError as error:
        outcome, failure = _failed(error), error
    calls = run.client.calls - calls_before
    with run.transaction() as conn:
        finish(
            conn,
            run.tenant_id,
            run.progress.run_id,
            config["config_id"],
            replace(outcome, counts=tally.counts, calls=calls),
        )
    return failure


def _pause(run: _Run, config: Config, error: QuintileError, tally: _Tally) -> Outcome:
    if not config["is_dry_run"]:
        run.execute(query("destinations.pause_config"), config, reason=error.message)
        if isinstance(error, ListGoneError):
            run.execute(query("destinations.record_list_deleted"), config)
        tally.count(paused=1)
    return Outcome("paused", error=error.message)


def _failed(error: QuintileError) -> Outcome:
    errors = {error.code: 1} if isinstance(error, KlaviyoError) and error.code else {}
    return Outcome("failed", error=error.message, advice=error.advice or None, errors=errors)


def _finish_all(run: _Run, configs: list[dict[str, Any]], outcome: Outcome) -> None:
    for config in configs:
        with run.transaction() as conn:
            finish(conn, run.tenant_id, run.progress.run_id, config["config_id"], outcome)


# -- one configuration --------------------------------------------------------------------------


def _sync(run: _Run, config: Config, tally: _Tally) -> Outcome:
    if config["is_paused"] and not config["is_dry_run"]:
        return Outcome("paused", error=config["paused_reason"] or "It is paused.")
    lists = _read_lists(run, config)
    if config["direction"] == "pull":
        return _pull(run, config, tally)
    run.readings.read_suppressed()
    lists.append(SUPPRESSED)
    return _push(run, config, lists, tally)


def _read_lists(run: _Run, config: Config) -> list[str]:
    """Read the list, and the one whose members feed it if it is one; returns their ids."""
    kind, _, segment = config["segment_key"].partition(":")
    lists = [config["list_id"]]
    if kind == "klaviyo" and segment != config["list_id"]:
        try:
            run.readings.read(segment)
        except KlaviyoError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            raise SegmentGoneError("The list whose members feed this one is gone.") from None
        lists.append(segment)
    try:
        run.readings.read(config["list_id"])
    except KlaviyoError as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
        raise ListGoneError from None
    return lists


def _pull(run: _Run, config: Config, tally: _Tally) -> Outcome:
    """Mirror the list; who is on it is the segment."""
    with run.transaction() as conn, run.readings.landing(conn, config["list_id"]):
        counted = conn.execute(query("destinations.count_loaded")).fetchall()
        described = _describe_pull(counted)
        if config["is_dry_run"]:
            raise psycopg.Rollback
    if not config["is_dry_run"]:
        run.execute(query("destinations.record_pulled"), config)
        tally.count(**{row["change"]: row["changes"] for row in counted})
    return Outcome(plan=described)


def _describe_pull(counted: list[dict[str, Any]]) -> dict[str, Any]:
    """As :meth:`Plan.describe`: who joins and leaves the segment here; nothing is sent."""
    changes = {row["change"]: row for row in counted}
    nothing: dict[str, Any] = {"changes": 0, "examples": []}
    described: dict[str, Any] = {
        action: {"count": found["changes"], "examples": found["examples"]}
        for action, found in (
            ("add", changes.get("joined", nothing)),
            ("remove", changes.get("left", nothing)),
            ("update", nothing),
            ("skip", nothing),
        )
    }
    described["skip"]["reasons"] = {}
    described["stop"] = None
    return described


def _push(run: _Run, config: Config, lists: list[str], tally: _Tally) -> Outcome:
    flows, advice = _live_flows(run, config)
    with open_spool() as removals, open_spool() as additions, open_spool() as updates:
        with run.transaction() as conn, run.readings.landing(conn, *lists):
            if not config["is_dry_run"]:
                lock_config(conn, run.tenant_id, config["config_id"])
            made = plan(conn, run.settings, run.tenant_id, config, flows)
            if config["is_dry_run"]:
                raise psycopg.Rollback
            record_planned(conn, run.tenant_id, config["config_id"], made)
            record_plan(
                conn, run.tenant_id, run.progress.run_id, config["config_id"], made.describe()
            )
            if made.stop is None:
                apply_plan(conn, run.tenant_id, config["config_id"], made)
                for action, spool in (
                    ("remove", removals),
                    ("add", additions),
                    ("update", updates),
                ):
                    _spool(conn, query("destinations.read_plan"), spool, action=action)
        if config["is_dry_run"]:
            return Outcome(plan=made.describe(), advice=advice)
        tally.count(skipped=made.counts["skip"])
        if made.stop is not None:
            tally.count(stopped=1)
            return _stopped(made)
        tally.count(added=0, removed=0, rejected=0)
        _carry_out(run, config, removals, additions, updates, tally)
    run.execute(query("destinations.record_synced"), config)
    # The list is in step, whatever becomes of telling about it.
    send_events(run.target(config), tally, bulk_from=run.settings.klaviyo_events_bulk_from)
    return Outcome(plan=made.describe(), advice=advice)


def _stopped(made: Plan) -> Outcome:
    stop = made.stop
    if stop is None:
        raise AssertionError("a plan that may be carried out is not stopped")
    return Outcome(
        "stopped",
        stopped_for=stop.reason,
        error=stop.message,
        advice=stop.advice,
        plan=made.describe(),
    )


def _live_flows(run: _Run, config: Config) -> tuple[list[str], str | None]:
    """Names of the flows that a first sync must not start; and a remark if nobody can tell."""
    if not config["must_not_fire_flows"]:
        return [], None
    try:
        flows = read_list_flows(run.client, config["list_id"])
    except KlaviyoScopeError:
        return [], _FLOWS_UNKNOWN
    return [flow.name for flow in flows if flow.is_live], None


def _carry_out(
    run: _Run, config: Config, removals: Spool, additions: Spool, updates: Spool, tally: _Tally
) -> None:
    target = run.target(config)
    tally.phase("changes", total=len(removals) + len(additions) + len(updates))
    # Who has left the segment comes off first, whatever becomes of the additions.
    remove(target, removals, run.limits, tally)
    send(target, additions, updates, run.limits, tally)


def _refresh_profiles(run: _Run, config: Config) -> None:
    """Tell anew what has changed about people who are on no list any more."""
    with open_spool() as stale:
        with run.transaction() as conn:
            parameters = {"tenant_id": run.tenant_id, "config_id": None}
            create_members(conn)
            conn.execute(query("destinations.fill_properties"), parameters)
            _spool(conn, query("destinations.list_stale_profiles"), stale, tenant_id=run.tenant_id)
        if len(stale):
            run.progress.phase("profiles", total=len(stale))
            refresh(run.target(config), stale, run.limits, run.progress)


def _spool(conn: Connection, statement: sql.SQL, spool: Spool, **parameters: object) -> None:
    """Set down what a query finds, never all of it in memory."""
    with conn.cursor(name="planned") as cursor:
        cursor.itersize = _FETCHED_ROWS
        cursor.execute(statement, parameters)
        for row in cursor:
            spool.append(_acting_row(row))


def _acting_row(row: Mapping[str, Any]) -> Row:
    """Address, customer id, profile id, properties as JSON, their hash."""
    return (
        row["email"],
        row["customer_id"],
        row["profile_id"],
        row["properties"],
        row["properties_hash"],
    )
