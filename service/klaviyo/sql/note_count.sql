-- How many profiles a list has, as Klaviyo has just told.
insert into app.klaviyo_list_counts as k (tenant_id, list_id, profile_count, counted_at)
values (%(tenant_id)s, %(list_id)s, %(profile_count)s, now())
on conflict (tenant_id, list_id) do update set
    profile_count = excluded.profile_count,
    counted_at = excluded.counted_at
where k.tenant_id = %(tenant_id)s
