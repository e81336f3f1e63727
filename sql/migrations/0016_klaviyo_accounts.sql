-- Klaviyo's limits are an account's, whichever tenants, keys and processes share it.

alter table app.connections
add column account_id text;

comment on column app.connections.account_id is
'The provider''s id of the account; null while it has not been verified since this was kept.';

-- Counters and nothing else, so that no tenant need own them: of whom they are stands only in a
-- keyed hash, which tells nothing to who does not know the account and the installation's secret.
create table app.klaviyo_windows (
    account_hash bytea not null,
    operation text not null,
    burst_limit integer not null,
    burst_used integer not null,
    burst_ends_at timestamptz not null,
    steady_limit integer not null,
    steady_used integer not null,
    steady_ends_at timestamptz not null,
    shut_until timestamptz not null,
    constraint klaviyo_windows_pkey primary key (account_hash, operation),
    constraint klaviyo_windows_check check (burst_limit > 0 and steady_limit > 0)
) with (fillfactor = 10);

comment on table app.klaviyo_windows is
'Calls an account has spent of each operation''s windows, for all tenants and processes.';
comment on column app.klaviyo_windows.account_hash is 'HMAC-SHA-256 of the account''s id.';
comment on column app.klaviyo_windows.burst_used is
'Calls in the window that ends at burst_ends_at.';
comment on column app.klaviyo_windows.shut_until is
'Until when Klaviyo has asked to be left alone; in the past when it has not.';

grant select, insert, update on app.klaviyo_windows to quintile_app;
