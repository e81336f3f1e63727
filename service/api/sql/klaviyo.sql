-- name: list_klaviyo_members
-- A page of the profiles on a list, sorted by address, with one extra row. Profiles without an
-- address come last, and have an empty address in the cursor. Addresses that were sent and not read
-- back have no profile id.
select
    p.profile_id,
    p.email,
    p.joined_at,
    coalesce(p.email, '') as sort_email,
    coalesce(p.profile_id, '') as sort_profile_id
from app.klaviyo_members as p
where
    p.tenant_id = %(tenant_id)s
    and p.list_id = %(list_id)s
    and (%(pattern)s::text is null or p.email ilike %(pattern)s)
    and (
        %(after_sort_email)s::text is null
        or (p.email is null, coalesce(p.email, ''), coalesce(p.profile_id, ''))
        > (%(after_sort_email)s = '', %(after_sort_email)s, %(after_sort_profile_id)s)
    )
order by p.email is null, coalesce(p.email, ''), coalesce(p.profile_id, '')
limit %(row_limit)s;

-- name: list_klaviyo_segments
-- A page of the pulled lists, sorted by name, with one extra row; or one of them. One with several
-- configurations is one row.
with readers as (
    select
        c.list_id,
        min(c.direction) as direction,
        max(c.last_synced_at) as synced_at,
        min(c.list_name) as name,
        bool_or(c.is_scheduled and not c.is_paused) as is_scheduled
    from app.klaviyo_sync_configs as c
    where c.tenant_id = %(tenant_id)s and c.direction in ('pull', 'bidirectional')
    group by c.list_id
),

named as (
    select
        r.list_id as id,
        coalesce(l.name, r.name) as name,
        lower(coalesce(l.name, r.name)) as sort_name,
        r.direction,
        r.synced_at,
        l.full_read_at,
        l.gone_at,
        r.is_scheduled
    from readers as r
    left join app.klaviyo_lists as l on l.tenant_id = %(tenant_id)s and r.list_id = l.list_id
)

select
    id,
    name,
    sort_name,
    direction,
    synced_at,
    full_read_at,
    gone_at,
    is_scheduled
from named
where
    (%(list_id)s::text is null or id = %(list_id)s)
    and (
        %(after_sort_name)s::text is null
        or (sort_name, id) > (%(after_sort_name)s, %(after_id)s)
    )
order by sort_name, id
limit %(row_limit)s;

-- name: count_ledger_states
-- Number of addresses of a configuration by state.
select
    state,
    count(*) as addresses
from app.klaviyo_ledger
where tenant_id = %(tenant_id)s and config_id = %(config_id)s
group by state;

-- name: list_klaviyo_sync_runs
-- A page of the syncs of a configuration, newest first, with one extra row. Or one of them.
select
    s.run_id,
    s.config_id,
    s.segment_key,
    s.list_id,
    s.list_name,
    s.direction,
    r.trigger,
    s.is_dry_run,
    s.state,
    s.stopped_for,
    s.plan,
    s.counts,
    s.errors,
    s.calls,
    s.error,
    s.advice,
    s.requested_at,
    s.started_at,
    s.finished_at,
    extract(epoch from s.finished_at - s.started_at) as duration_seconds
from app.klaviyo_sync_runs as s
inner join app.runs as r on r.tenant_id = %(tenant_id)s and s.run_id = r.run_id
where
    s.tenant_id = %(tenant_id)s
    and s.config_id = %(config_id)s
    and (%(run_id)s::uuid is null or s.run_id = %(run_id)s)
    and (%(with_dry_runs)s or not s.is_dry_run)
    and (
        %(after_requested_at)s::timestamptz is null
        or (s.requested_at, s.run_id) < (%(after_requested_at)s, %(after_run_id)s::uuid)
    )
order by s.requested_at desc, s.run_id desc
limit %(row_limit)s;
