-- name: are_builds_recorded
-- Whether dbt has made the table of builds, and what the updates read. Read as quintile_transform.
select
    to_regclass('marts.rfm_builds') is not null
    and to_regclass('marts.customer_rfm_segments') is not null as are_recorded;

-- name: list_tenants_to_follow
-- Tenants with promo codes or metafields that were not updated after their newest build, unless a
-- build runs or one has failed since. Read as quintile_transform.
with runs as (
    select
        r.tenant_id,
        bool_or(r.state = 'running') as is_running,
        max(r.finished_at) filter (where r.state = 'failed') as failed_at,
        max(r.finished_at) filter (where r.state = 'succeeded') as succeeded_at
    from app.runs as r
    where r.kind = 'build'
    group by r.tenant_id
)

select b.tenant_id
from marts.rfm_builds as b
left join app.build_followups as f on b.tenant_id = f.tenant_id
left join runs as r on b.tenant_id = r.tenant_id
where
    b.as_of is distinct from f.built_as_of
    and not coalesce(r.is_running, false)
    and (
        r.failed_at is null
        or r.failed_at < coalesce(r.succeeded_at, '-infinity')
        -- dbt has built since.
        or r.failed_at < b.as_of
    )
    and (
        exists (select from app.promo_codes as p where p.tenant_id = b.tenant_id)
        or exists (select from app.shopify_metafields as m where m.tenant_id = b.tenant_id)
    )
order by b.tenant_id;

-- name: record_followed
-- Records the tenant's newest build as the one that updates were queued after.
insert into app.build_followups as f (tenant_id, built_as_of)
select
    b.tenant_id,
    b.as_of
from marts.rfm_builds as b
where b.tenant_id = %(tenant_id)s
on conflict (tenant_id) do update set
    built_as_of = excluded.built_as_of
where f.tenant_id = %(tenant_id)s;
