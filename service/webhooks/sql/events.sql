-- name: lock_body
-- Wait for another transaction that stores the same body, until this one ends.
select pg_advisory_xact_lock(
    hashtextextended(%(tenant_id)s::text || encode(%(signature)s, 'base64'), 0)
);

-- name: insert_event
-- Store a webhook; no row if it was received before, under this id or another. While the former one
-- waits, it reads from the store what this one is about, too; but leaving a segment has the body of
-- joining it, for which the store may have been read already. A former one that is processed covers
-- this one, unless what the body says may be true again, or changed as late as the store was read.
insert into app.webhook_events (
    tenant_id,
    webhook_id,
    topic,
    kind,
    subject,
    notice,
    store_updated_at,
    triggered_at,
    signature,
    is_shop_named
)
select
    %(tenant_id)s,
    %(webhook_id)s,
    %(topic)s,
    %(kind)s,
    %(subject)s,
    %(notice)s,
    %(store_updated_at)s,
    %(triggered_at)s,
    %(signature)s,
    %(is_shop_named)s
where
    not exists (
        select from app.webhook_events as e
        where
            e.tenant_id = %(tenant_id)s
            and e.signature = %(signature)s
            and e.kind is not null
            and (
                (e.state in ('queued', 'held') and e.kind <> 'membership')
                or (
                    not %(may_recur)s
                    and (
                        %(store_updated_at)s::timestamptz is null
                        or e.finished_at > %(store_updated_at)s + %(margin)s
                    )
                )
            )
    )
on conflict (tenant_id, webhook_id) do nothing
returning webhook_id;

-- name: ask_again
-- Queue held webhooks with this body again: the store may confirm by now what it did not before.
update app.webhook_events
set
    state = 'queued',
    attempts = 0,
    due_at = now(),
    reason = null,
    advice = null
where tenant_id = %(tenant_id)s and signature = %(signature)s and state = 'held'
returning webhook_id, kind;

-- name: insert_unreadable
-- Quarantine a webhook that was not understood, with its body, unless it was received before.
insert into app.webhook_events (
    tenant_id,
    webhook_id,
    topic,
    payload,
    triggered_at,
    signature,
    is_shop_named,
    state,
    reason,
    advice,
    finished_at
)
select
    %(tenant_id)s,
    %(webhook_id)s,
    %(topic)s,
    %(payload)s,
    %(triggered_at)s,
    %(signature)s,
    %(is_shop_named)s,
    'set_aside',
    %(reason)s,
    'The next sync reads what has changed. If a newer release understands the webhook, run:'
    ' quintile webhooks retry',
    now()
where
    not exists (
        select from app.webhook_events as e
        where e.tenant_id = %(tenant_id)s and e.signature = %(signature)s
    )
on conflict (tenant_id, webhook_id) do nothing;

-- name: list_due_events
-- Webhooks that are due, grouped by what they are about, so that a burst is processed once.
select
    e.kind,
    e.subject,
    array_agg(e.webhook_id order by e.received_at, e.webhook_id) as webhook_ids,
    max(e.store_updated_at) as store_updated_at,
    max(coalesce(e.triggered_at, e.received_at)) as triggered_at,
    max(e.attempts) as attempts,
    coalesce(bool_or(e.confirmed_by is not null), false) as is_confirmed,
    jsonb_agg(distinct e.notice) as notices
from app.webhook_events as e
where
    e.tenant_id = %(tenant_id)s
    and e.state = 'queued'
    and e.due_at <= now()
    and e.kind <> all(%(other_kinds)s)
group by e.kind, e.subject
order by min(e.received_at), e.kind, e.subject
limit %(row_limit)s;

-- name: cancel_syncs
-- Cancel queued runs that call a store without the app; a running one fails at its next call.
update app.runs
set
    state = 'failed',
    error = 'The app was removed from the store before this run began.',
    advice = 'Install it again and connect the store: quintile tenants connect-shopify NAME',
    finished_at = now()
where
    tenant_id = %(tenant_id)s
    and state = 'queued'
    and kind in ('shopify_sync', 'segments_sync', 'promo_codes', 'metafields_sync');

-- name: find_removable
-- The connection that a removal of the app would end; none if the store was connected after that.
select state
from app.connections
where
    tenant_id = %(tenant_id)s
    and provider = 'shopify'
    and state <> 'disconnected'
    and connected_at <= %(triggered_at)s;

-- name: record_uninstalled
-- Record that the store has removed the app; no row if it was connected again after that. By our
-- clock: what the webhook says about the time is not signed.
update app.connections
set uninstalled_at = now()
where
    tenant_id = %(tenant_id)s
    and provider = 'shopify'
    and uninstalled_at is null
    and connected_at <= %(triggered_at)s
returning provider;

-- name: lock_quarantined
-- Lock quarantined webhooks, one or all, to retry them in this transaction.
select
    webhook_id,
    topic,
    kind,
    payload
from app.webhook_events
where
    tenant_id = %(tenant_id)s
    and state = 'set_aside'
    and (%(webhook_id)s::text is null or webhook_id = %(webhook_id)s)
order by received_at, webhook_id
for update;

-- name: fill_event
-- Fill in what a webhook is about that was not understood before, and delete its body.
update app.webhook_events
set
    kind = %(kind)s,
    subject = %(subject)s,
    notice = %(notice)s,
    payload = null,
    store_updated_at = %(store_updated_at)s
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s;

-- name: keep_quarantined
-- Record that a quarantined webhook is still not understood.
update app.webhook_events
set attempts = attempts + 1, reason = %(reason)s
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s
returning webhook_id, topic, state, attempts, reason, advice, received_at, triggered_at;

-- name: requeue_event
-- Queue a quarantined webhook again.
update app.webhook_events
set
    state = 'queued',
    attempts = 0,
    due_at = now(),
    reason = null,
    advice = null,
    finished_at = null
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s
returning webhook_id, topic, state, attempts, reason, advice, received_at, triggered_at;

-- name: finish_events
-- Mark webhooks as done, and delete what they were about.
update app.webhook_events
set
    state = 'done',
    subject = null,
    notice = null,
    payload = null,
    reason = %(reason)s,
    advice = null,
    finished_at = now()
where
    tenant_id = %(tenant_id)s
    and webhook_id = any(%(webhook_ids)s)
    and state = 'queued';

-- name: postpone_events
-- Postpone webhooks.
update app.webhook_events
set
    attempts = attempts + 1,
    due_at = now() + make_interval(secs => %(seconds)s),
    reason = %(reason)s
where
    tenant_id = %(tenant_id)s
    and webhook_id = any(%(webhook_ids)s)
    and state = 'queued'
returning due_at;

-- name: quarantine_events
-- Quarantine webhooks that could not be processed, with the reason and advice.
update app.webhook_events
set
    state = 'set_aside',
    attempts = attempts + 1,
    reason = %(reason)s,
    advice = %(advice)s,
    finished_at = now()
where
    tenant_id = %(tenant_id)s
    and webhook_id = any(%(webhook_ids)s)
    and state = 'queued';

-- name: hold_events
-- Hold webhooks that would delete something until a person confirms or rejects them.
update app.webhook_events
set
    state = 'held',
    attempts = attempts + 1,
    reason = %(reason)s,
    advice = %(advice)s
where
    tenant_id = %(tenant_id)s
    and webhook_id = any(%(webhook_ids)s)
    and state = 'queued';

-- name: confirm_event
-- Queue a held webhook, which is then processed without another question.
update app.webhook_events
set
    state = 'queued',
    attempts = 0,
    due_at = now(),
    confirmed_by = 'person',
    reason = null,
    advice = null
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s and state = 'held'
returning webhook_id, topic, kind, state, attempts, reason, advice, received_at, triggered_at;

-- name: reject_event
-- End a held webhook without doing what it says, and delete what it was about.
update app.webhook_events
set
    state = 'done',
    subject = null,
    notice = null,
    reason = 'A person rejected it.',
    advice = null,
    finished_at = now()
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s and state = 'held'
returning webhook_id, topic, state, attempts, reason, advice, received_at, triggered_at;

-- name: lock_segments
-- Waits for readings of these segments that are being stored, and keeps others waiting.
select s.segment_id
from shopify.cached_segments as s
where s.tenant_id = %(tenant_id)s and s.segment_id = any(%(segment_ids)s)
order by s.segment_id
for no key update;
