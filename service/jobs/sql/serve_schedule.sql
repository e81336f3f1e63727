-- Note that a schedule is served; no row when that has been done, or the schedule was paused.
insert into app.schedules as s (tenant_id, name, served_at)
values (%(tenant_id)s, %(name)s, %(due_at)s)
on conflict (tenant_id, name) do update
set served_at = excluded.served_at
where s.paused_at is null and coalesce(s.served_at, '-infinity') < excluded.served_at
returning s.name
