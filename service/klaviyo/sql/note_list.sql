-- Remembers a list, and how far it has been read now. It was asked for its name if all of it was.
insert into app.klaviyo_lists as l (tenant_id, list_id, name, joins_read_to, full_read_at)
select
    %(tenant_id)s,
    %(list_id)s,
    coalesce(%(list_name)s, %(list_id)s),
    (select max(r.joined_at) from pg_temp.klaviyo_reading as r),
    %(full_read_at)s
on conflict (tenant_id, list_id) do update set
    name = coalesce(%(list_name)s, l.name),
    joins_read_to = greatest(l.joins_read_to, excluded.joins_read_to),
    full_read_at = coalesce(excluded.full_read_at, l.full_read_at),
    gone_at = null
where l.tenant_id = %(tenant_id)s
