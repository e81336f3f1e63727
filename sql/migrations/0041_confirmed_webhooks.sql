-- What a store's webhook proves: its signature covers the body, not the headers with the topic, the
-- shop and the time. So a removal or an erasure is confirmed with the store, or held for a person.

alter table app.webhook_events
add column signature bytea,
add column is_shop_named boolean not null default false,
add column confirmed_by text,
drop constraint webhook_events_state_check,
drop constraint webhook_events_finished_check,
add constraint webhook_events_state_check check (
    state in ('queued', 'held', 'done', 'set_aside')
),
add constraint webhook_events_finished_check check (
    (state in ('queued', 'held')) = (finished_at is null)
),
add constraint webhook_events_confirmed_check check (confirmed_by in ('store', 'person'));

-- Operators' requests, and erasures that have begun, were decided by a person before this release.
update app.webhook_events
set confirmed_by = 'person'
where state <> 'done' and (webhook_id like 'operator:%' or notice -> 'done' ? 'landed');

create index webhook_events_signature_idx on app.webhook_events (tenant_id, signature);

comment on column app.webhook_events.signature is
'Keyed digest of the body, by which the same body is known under another webhook id.';
comment on column app.webhook_events.is_shop_named is
'Whether the signed body names the shop; if not, only an unsigned header does.';
comment on column app.webhook_events.confirmed_by is
'Who confirmed a removal or an erasure: the store, or a person.';
