-- name: find_connection
-- The sealed credential of a connection; no row while the tenant is disconnected.
select
    sealed_secret,
    key_id,
    account_id,
    scopes,
    state,
    extract(epoch from access_expires_at - now()) as seconds_left
from app.connections
where
    tenant_id = %(tenant_id)s
    and provider = %(provider)s
    and state <> 'disconnected';

-- name: store_connection
-- Store a verified credential, replacing the old one.
insert into app.connections as c (
    tenant_id,
    provider,
    account_name,
    account_id,
    sealed_secret,
    key_id,
    last_four,
    scopes,
    plan,
    access_expires_at,
    refresh_expires_at,
    api_version_asked,
    api_version_served,
    verified_at
)
values (
    %(tenant_id)s,
    %(provider)s,
    %(account_name)s,
    %(account_id)s,
    %(sealed_secret)s,
    %(key_id)s,
    %(last_four)s,
    %(scopes)s,
    %(plan)s,
    now() + make_interval(secs => %(expires_in)s),
    now() + make_interval(secs => %(refresh_expires_in)s),
    %(api_version_asked)s,
    %(api_version_served)s,
    now()
)
on conflict (tenant_id, provider) do update set
    account_name = excluded.account_name,
    account_id = excluded.account_id,
    sealed_secret = excluded.sealed_secret,
    key_id = excluded.key_id,
    last_four = excluded.last_four,
    scopes = excluded.scopes,
    plan = excluded.plan,
    access_expires_at = excluded.access_expires_at,
    refresh_expires_at = excluded.refresh_expires_at,
    refresher = null,
    refresher_until = null,
    api_version_asked = excluded.api_version_asked,
    api_version_served = excluded.api_version_served,
    state = excluded.state,
    state_reason = null,
    connected_at = excluded.connected_at,
    verified_at = excluded.verified_at,
    uninstalled_at = null
where c.tenant_id = %(tenant_id)s;

-- name: disconnect
-- Delete a connection's secret and scopes; the row stays, so that the account stays known.
update app.connections
set
    state = 'disconnected',
    state_reason = %(reason)s,
    sealed_secret = null,
    key_id = null,
    last_four = '',
    scopes = '{}',
    access_expires_at = null,
    refresh_expires_at = null,
    refresher = null,
    refresher_until = null
where tenant_id = %(tenant_id)s and provider = %(provider)s and state <> 'disconnected'
returning provider;

-- name: record_accepted
-- Record that the provider has accepted the credential.
update app.connections
set
    state = 'active',
    state_reason = null,
    verified_at = now()
where tenant_id = %(tenant_id)s and provider = %(provider)s and state <> 'disconnected';

-- name: record_refused
-- Record that the provider does not accept the credential, and when it is tried again. A connection
-- that was refused before keeps the time of its next probe.
update app.connections as c
set
    state = 'refused',
    state_reason = %(reason)s,
    probes = case when c.state = 'refused' then c.probes else 0 end,
    next_probe_at = case
        when c.state = 'refused' and c.next_probe_at > now() then c.next_probe_at
        else now() + %(pause)s
    end
where c.tenant_id = %(tenant_id)s and c.provider = %(provider)s and c.state <> 'disconnected'
returning c.next_probe_at;
