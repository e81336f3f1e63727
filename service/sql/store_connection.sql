-- Keeps a verified credential, sealed, in the place of the former one.
insert into app.connections as c (
    tenant_id,
    provider,
    account_name,
    sealed_secret,
    key_id,
    last_four,
    scopes,
    verified_at
)
values (
    %(tenant_id)s,
    %(provider)s,
    %(account_name)s,
    %(sealed_secret)s,
    %(key_id)s,
    %(last_four)s,
    %(scopes)s,
    now()
)
on conflict (tenant_id, provider) do update set
    account_name = excluded.account_name,
    sealed_secret = excluded.sealed_secret,
    key_id = excluded.key_id,
    last_four = excluded.last_four,
    scopes = excluded.scopes,
    state = excluded.state,
    state_reason = null,
    connected_at = excluded.connected_at,
    verified_at = excluded.verified_at
where c.tenant_id = %(tenant_id)s
