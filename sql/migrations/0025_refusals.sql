-- A refused connection is tried again by itself, less often each time.
alter table app.connections
add column next_probe_at timestamptz,
add column probes integer not null default 0;

comment on column app.connections.next_probe_at is
'When a refused connection is tried again; without a meaning in other states.';
comment on column app.connections.probes is 'How often it was tried again since it was refused.';
comment on column app.connections.account_id is
'The account at the provider: Klaviyo''s account id, or the number of the Shopify shop, by which it
is known when its domain changes.';

-- What schedules may use: connections that are not disconnected, of a store that has the app. A
-- refused one from next_probe_at on; that is null for an active one, and for one that is due now.
create view app.scheduled_connections with (security_invoker = true) as
select
    c.tenant_id,
    c.provider,
    c.state = 'refused' as is_refused,
    case when c.state = 'refused' then c.next_probe_at end as next_probe_at
from app.connections as c
where
    c.state in ('active', 'refused')
    and not exists (
        select from app.connections as u
        where
            u.tenant_id = c.tenant_id
            and u.provider = 'shopify'
            and u.uninstalled_at is not null
    );

comment on view app.scheduled_connections is
'Connections that schedules use, refused ones from the time of their next probe on.';

call app.protect('app.scheduled_connections');

grant select (next_probe_at) on app.connections to quintile_transform;
grant select on app.scheduled_connections to quintile_app, quintile_transform;
-- A shop whose domain changed is followed.
grant update (shop_domain) on app.tenants to quintile_app;
