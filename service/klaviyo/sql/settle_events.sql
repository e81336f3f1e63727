-- Who has come and gone since the last plan, to be told to Klaviyo's flows: written down in the
-- transaction that moves on from that plan, so that each is told once.
insert into app.klaviyo_events (
    tenant_id, config_id, email, metric, properties, is_backfill, occurred_at
)
select
    %(tenant_id)s,
    c.config_id,
    p.email,
    case when p.enters then 'Entered Segment' else 'Left Segment' end as metric,
    jsonb_build_object(
        'segment', c.segment_key,
        'segment_name', %(segment_name)s::text,
        'list_id', c.list_id,
        'list_name', c.list_name
    ) || coalesce(f.properties, '{}') as properties,
    c.first_synced_at is null and not c.fires_flows_on_first_sync as is_backfill,
    now() as occurred_at
from pg_temp.klaviyo_plan as p
inner join app.klaviyo_sync_configs as c
    on c.tenant_id = %(tenant_id)s and c.config_id = %(config_id)s
left join pg_temp.klaviyo_properties as f on p.email = f.email
where c.sends_events and (p.enters or p.leaves)
