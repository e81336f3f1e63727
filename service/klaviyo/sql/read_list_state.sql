-- How far a list has been read, and the database's time, by which readings are dated.
select
    l.joins_read_to,
    l.full_read_at,
    n.read_at
from (select now() as read_at) as n
left join app.klaviyo_lists as l on l.tenant_id = %(tenant_id)s and l.list_id = %(list_id)s
