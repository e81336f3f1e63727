"""One run over a tenant's lists: read each list, plan in SQL, carry the plan out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import QuintileError
from service.core.queries import query
from service.core.spool import Spool, open_spool
from service.destinations.configs import SyncCancelledError, lock_config, pause_all_for_key
from service.destinations.interface import (
    CredentialRefusedError,
    Destination,
    DestinationError,
    DestinationUnavailableError,
    FlowsUnknownError,
    ListNotFoundError,
    OpenDestination,
    Person,
)
from service.destinations.plan import (
    ACTIONS,
    SegmentDeletedError,
    apply_plan,
    create_members,
    plan,
)
from service.destinations.push import Target, import_people, remove_people, send_events
from service.destinations.readings import SUPPRESSED, Readings
from service.destinations.sync_runs import Outcome, begin, finish, rows_to_do
from service.queue.progress import Progress, RunProgress
from service.queue.retry import HandedBackError
from service.queue.runs import LostRunError
from service.segments.ids import parse_segment_id
from service.segments.sizes import record_list_size

# A round trip for every hundred rows, the driver's default, would take longer than the plan.
_FETCHED_ROWS = 5000
# These end a process's work on a run, but not the run: the next process decides its outcome.
_NOT_FINISHED = (HandedBackError, LostRunError)

Config = Mapping[str, Any]


def sync_lists(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    progress: RunProgress,
    open_destination: OpenDestination,
) -> None:
    """Do what the run's rows in app.klaviyo_sync_runs ask for, and record each outcome there.

    A run without rows does every configuration that is not paused. It counts in ``progress``:
    addresses added, removed, updated and rejected; refreshed, which are people on no list whose
    properties changed; profiles that joined and left a pulled list; skipped, which are members that
    get no e-mail; configurations paused, or stopped for approval; events; calls. A list that needs
    no change costs no writing call.

    A list or segment that no longer exists pauses its configuration, a refused credential pauses
    all. After a failure of one list the others are still synced; the first failure is raised at the
    end.

    Raises:
        CredentialRefusedError: The destination does not accept the credential.
        DestinationUnavailableError: The destination cannot be reached; at once.
        MartsMissingError: dbt has not built the marts yet.
        DestinationError: A call was not accepted; what was accepted is recorded.
    """
    with tenant_transaction(pool, tenant_id) as conn:
        configs = rows_to_do(conn, tenant_id, progress.run_id)
    with ExitStack() as spools, open_destination() as destination:
        readings = Readings(settings, destination, pool, tenant_id, spools)
        run = _Run(settings, destination, pool, tenant_id, progress, readings)
        try:
            failures = _sync_all(run, configs)
        finally:
            progress.count(calls=destination.calls)
    if failures:
        raise failures[0]


def end_before_start(pool: Pool, tenant_id: UUID, run_id: UUID, error: DestinationError) -> None:
    """Record for each of a run's lists that the run failed before it began with any.

    A refused credential pauses every configuration.
    """
    outcome = _failed(error)
    with tenant_transaction(pool, tenant_id) as conn:
        configs = rows_to_do(conn, tenant_id, run_id)
        if isinstance(error, CredentialRefusedError):
            pause_all_for_key(conn, tenant_id, error.message)
            outcome = replace(outcome, state="paused")
    for config in configs:
        with tenant_transaction(pool, tenant_id) as conn:
            finish(conn, tenant_id, run_id, config["config_id"], outcome)


@dataclass(frozen=True)
class _Run:
    """What the sync of every configuration needs."""

    settings: Settings
    destination: Destination
    pool: Pool
    tenant_id: UUID
    progress: RunProgress
    readings: Readings

    def target(self, config: Config) -> Target:
        """The configuration's list, to write to."""
        return Target(
            self.destination, self.pool, self.tenant_id, config["config_id"], config["list_id"]
        )

    def transaction(self) -> AbstractContextManager[Connection]:
        """A transaction of the tenant."""
        return tenant_transaction(self.pool, self.tenant_id)

    def finish(self, config: Config, outcome: Outcome) -> None:
        """Record the outcome of a configuration."""
        with self.transaction() as conn:
            finish(conn, self.tenant_id, self.progress.run_id, config["config_id"], outcome)


class _Tally:
    """The run's progress, with the counts of one configuration."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.phase = progress.phase
        self.advance = progress.advance
        self.counts: Counter[str] = Counter()

    def count(self, **counts: int) -> None:
        """Add to the counters of the run and of the configuration."""
        self.counts.update(counts)
        self._progress.count(**counts)


# -- all configurations of a run ----------------------------------------------------------------


def _sync_all(run: _Run, configs: list[dict[str, Any]]) -> list[QuintileError]:
    """Sync each configuration; returns the failures that do not concern the ones after them."""
    failures: list[QuintileError] = []
    written: Config | None = None
    waiting: list[Config] = list(configs)
    try:
        while waiting:
            with run.transaction() as conn:
                # As it is by now; None if it has been deleted.
                config_id = waiting[0]["config_id"]
                config = begin(conn, run.tenant_id, run.progress.run_id, config_id)
            failure = None if config is None else _sync_one(run, config)
            del waiting[0]
            if failure is not None:
                failures.append(failure)
            elif config is not None and _is_writing(config):
                written = config
        if written is not None:
            _refresh_profiles(run, written)
    except _NOT_FINISHED:
        raise
    except CredentialRefusedError as error:
        with run.transaction() as conn:
            pause_all_for_key(conn, run.tenant_id, error.message)
        _finish_all(run, waiting, replace(_failed(error), state="paused"))
        raise
    except QuintileError as error:
        _finish_all(run, waiting, _failed(error))
        raise
    except Exception as error:
        # Its text may hold anything: the log has it.
        message = f"An unexpected error occurred ({type(error).__name__})."
        _finish_all(run, waiting, Outcome("failed", error=message))
        raise
    return failures


def _is_writing(config: Config) -> bool:
    return config["direction"] != "pull" and not config["is_dry_run"] and not config["is_paused"]


def _sync_one(run: _Run, config: Config) -> QuintileError | None:
    """Sync one configuration and record its outcome; returns a failure that concerns only it."""
    tally = _Tally(run.progress)
    calls_before = run.destination.calls
    failure = None
    tally.phase(f"list {config['list_name']}")
    try:
        outcome = _sync(run, config, tally)
    except SyncCancelledError as error:
        outcome = Outcome("paused", error=error.message)
    except (SegmentDeletedError, ListNotFoundError) as error:
        # An empty segment empties its list, a deleted one must not.
        outcome = _pause(run, config, error, tally)
    except (CredentialRefusedError, DestinationUnavailableError, *_NOT_FINISHED):
        # The next list would meet the same.
        raise
    except QuintileError as error:
        outcome, failure = _failed(error), error
    calls = run.destination.calls - calls_before
    run.finish(config, replace(outcome, counts=tally.counts, calls=calls))
    return failure


def _pause(run: _Run, config: Config, error: QuintileError, tally: _Tally) -> Outcome:
    if not config["is_dry_run"]:
        statements = [query("destinations.pause_config")]
        if isinstance(error, ListNotFoundError):
            statements.append(query("destinations.record_list_deleted"))
        run.target(config).execute(*statements, reason=error.message)
        tally.count(paused=1)
    return Outcome("paused", error=error.message)


def _failed(error: QuintileError) -> Outcome:
    errors = {error.code: 1} if isinstance(error, DestinationError) and error.code else {}
    return Outcome("failed", error=error.message, advice=error.advice or None, errors=errors)


def _finish_all(run: _Run, configs: list[Config], outcome: Outcome) -> None:
    for config in configs:
        run.finish(config, outcome)


# -- one configuration --------------------------------------------------------------------------


def _sync(run: _Run, config: Config, tally: _Tally) -> Outcome:
    if config["is_paused"] and not config["is_dry_run"]:
        return Outcome("paused", error=config["paused_reason"] or "It is paused.")
    lists = _read_lists(run, config)
    if config["direction"] == "pull":
        return _pull(run, config, tally)
    return _push(run, config, lists, tally)


def _read_lists(run: _Run, config: Config) -> list[str]:
    """Read the lists that a plan needs; returns their ids."""
    segment = parse_segment_id(config["segment_key"])
    lists = [config["list_id"]]
    if segment.source == "klaviyo" and segment.key != config["list_id"]:
        try:
            run.readings.read(segment.key)
        except ListNotFoundError:
            raise SegmentDeletedError("The list that feeds this one has been deleted.") from None
        lists.append(segment.key)
    run.readings.read(config["list_id"])
    if config["direction"] != "pull":
        run.readings.read(SUPPRESSED)
        lists.append(SUPPRESSED)
    return lists


def _pull(run: _Run, config: Config, tally: _Tally) -> Outcome:
    """Mirror the list: the profiles on it are the segment."""
    with run.transaction() as conn, run.readings.loading(conn, config["list_id"]):
        counted = conn.execute(query("destinations.count_changes")).fetchall()
        if config["is_dry_run"]:
            raise psycopg.Rollback
        _record_size(conn, run, config["list_id"])
    if not config["is_dry_run"]:
        run.target(config).execute(query("destinations.record_pulled"))
        tally.count(**{row["change"]: row["changes"] for row in counted})
    return Outcome(plan=_describe_pull(counted))


def _record_size(conn: Connection, run: _Run, list_id: str) -> None:
    record_list_size(conn, run.tenant_id, list_id, run.readings.read_at(list_id))


def _describe_pull(counted: list[dict[str, Any]]) -> dict[str, Any]:
    """As :meth:`Plan.describe`: who joins and leaves the segment; nothing is sent."""
    described: dict[str, Any] = {action: {"count": 0, "examples": []} for action in ACTIONS}
    for row in counted:
        action = {"joined": "add", "left": "remove"}[row["change"]]
        described[action] = {"count": row["changes"], "examples": row["examples"]}
    described["skip"]["reasons"] = {}
    return {**described, "stop": None}


def _push(run: _Run, config: Config, lists: list[str], tally: _Tally) -> Outcome:
    flows, advice = _live_flows(run, config)
    target = run.target(config)
    ids = {
        "tenant_id": run.tenant_id,
        "run_id": run.progress.run_id,
        "config_id": config["config_id"],
    }
    with open_spool() as removals, open_spool() as additions, open_spool() as updates:
        with run.transaction() as conn, run.readings.loading(conn, *lists):
            if not config["is_dry_run"]:
                lock_config(conn, run.tenant_id, config["config_id"])
            made = plan(conn, run.settings, run.tenant_id, config, flows)
            described = made.describe()
            if config["is_dry_run"]:
                raise psycopg.Rollback
            conn.execute(
                query("destinations.record_planned"),
                {
                    **ids,
                    "local_members": made.members,
                    "drift": made.counts["add"] + made.counts["remove"],
                },
            )
            conn.execute(query("destinations.record_plan"), {**ids, "plan": Jsonb(described)})
            if config["direction"] == "bidirectional":
                _record_size(conn, run, config["list_id"])
            if made.stop is None:
                apply_plan(conn, run.tenant_id, config["config_id"], made)
                for action, spool in (
                    ("remove", removals),
                    ("add", additions),
                    ("update", updates),
                ):
                    _spool(conn, query("destinations.read_plan"), spool, action=action)
        if config["is_dry_run"]:
            return Outcome(plan=described, advice=advice)
        tally.count(skipped=made.counts["skip"])
        if made.stop is not None:
            tally.count(stopped=1)
            return Outcome(
                "stopped",
                stopped_for=made.stop.reason,
                error=made.stop.message,
                advice=made.stop.advice,
                plan=described,
            )
        tally.count(added=0, removed=0, rejected=0)
        tally.phase("changes", total=len(removals) + len(additions) + len(updates))
        # Removals first: they do not depend on whether the additions succeed.
        remove_people(target, _people(removals), tally)
        is_list_known = run.readings.is_full(config["list_id"])
        import_people(target, _people(additions), "add", tally, is_list_known=is_list_known)
        import_people(target, _people(updates), "update", tally)
    target.execute(query("destinations.record_synced"))
    # The list is synced, even if its events cannot be sent.
    send_events(target, tally)
    return Outcome(plan=described, advice=advice)


def _live_flows(run: _Run, config: Config) -> tuple[list[str], str | None]:
    """The flows that a first sync must not start; and advice if the destination does not tell."""
    if not config["must_not_fire_flows"]:
        return [], None
    try:
        return run.destination.read_live_flows(config["list_id"]), None
    except FlowsUnknownError as error:
        return [], error.message


def _refresh_profiles(run: _Run, config: Config) -> None:
    """Update changed properties of people who are on no list any more."""
    with open_spool() as stale:
        with run.transaction() as conn:
            parameters = {"tenant_id": run.tenant_id, "config_id": None}
            create_members(conn)
            conn.execute(query("destinations.fill_properties"), parameters)
            _spool(conn, query("destinations.list_stale_profiles"), stale, **parameters)
        if len(stale):
            run.progress.phase("profiles", total=len(stale))
            import_people(run.target(config), _people(stale), "refresh", run.progress)


def _spool(conn: Connection, statement: sql.SQL, spool: Spool, **parameters: object) -> None:
    """Write the people that a query finds to a spool, never holding all of them in memory."""
    with conn.cursor(name="planned") as cursor:
        cursor.itersize = _FETCHED_ROWS
        cursor.execute(statement, parameters)
        for row in cursor:
            spool.append(Person(**row))


def _people(spool: Spool) -> Iterator[Person]:
    return map(Person._make, spool)
