-- A notification that says nothing but that notifications arrive.
insert into app.notifications (tenant_id, topic)
values (%(tenant_id)s, 'test')
returning notification_id
