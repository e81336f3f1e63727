-- Outgoing webhooks announce who entered and left pulled lists, as they do for Shopify's segments.

-- Without a default for the rows that are there: they are never announced.
alter table app.klaviyo_list_changes add column landed_xid xid8;

alter table app.klaviyo_list_changes alter column landed_xid set default pg_current_xact_id();

create index if not exists klaviyo_list_changes_landed_idx
on app.klaviyo_list_changes (tenant_id, landed_xid);

comment on column app.klaviyo_list_changes.landed_xid is
'The transaction that wrote the row, as in shopify.segment_changes; null for a row written before '
'this was recorded, which is not announced.';

alter table app.webhook_deliveries
drop constraint webhook_deliveries_source_check,
add constraint webhook_deliveries_source_check check (
    (topic like 'segment.%') = (source is not null)
    and coalesce(source in ('rfm', 'shopify', 'klaviyo'), true)
    and coalesce(source in ('shopify', 'klaviyo'), false) = (after_snapshot is not null)
    and (after_snapshot is null) = (until_snapshot is null)
    and (after_snapshot is null) = (round is null)
);

comment on column app.webhook_deliveries.source is
'Where the segments are from: rfm, shopify or klaviyo (pulled lists).';
comment on column app.webhook_deliveries.after_snapshot is
'Shopify segments and pulled lists: the changes that are visible in until_snapshot, but not in '
'this one.';
comment on column app.webhook_deliveries.round is
'Shopify segments: which of these changes of each customer, by time, from 1. Pulled lists: which '
'of each profile on a list.';
comment on column app.webhook_progress.shopify_snapshot is
'Changes of Shopify segments and of pulled lists that are visible in it were processed. The name '
'is older than the latter.';

-- What the worker's scheduler reads to find tenants with something to collect.
grant select (landed_xid) on app.klaviyo_list_changes to quintile_transform;
