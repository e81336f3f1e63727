-- Pause a tenant's schedule; whoever paused it first stays named.
insert into app.schedules as s (tenant_id, name, paused_at, paused_by)
values (%(tenant_id)s, %(name)s, now(), %(by)s)
on conflict (tenant_id, name) do update
set paused_at = excluded.paused_at, paused_by = excluded.paused_by
where s.paused_at is null
