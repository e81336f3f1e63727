-- name: list_rfm_changes
-- The customers of one batch who entered or left an RFM segment as of an instant, with the segment
-- before or after.
with changes as (
    select
        t.customer_id,
        t.as_of,
        'rfm:' || case when %(has_entered)s then t.to_segment else t.from_segment end
            as segment_id,
        'rfm:' || case when %(has_entered)s then t.from_segment else t.to_segment end
            as other_segment_id
    from marts.rfm_segment_transitions as t
    where
        t.tenant_id = %(tenant_id)s
        and t.as_of = %(occurred_at)s
        and mod(hashtext(t.customer_id) & 2147483647, %(batches)s) = %(batch)s - 1
)

select
    c.customer_id,
    c.segment_id,
    c.as_of as changed_at,
    c.other_segment_id
from changes as c
where
    c.segment_id is not null
    and (%(segment_ids)s::text[] is null or c.segment_id = any(%(segment_ids)s))
order by c.customer_id;

-- name: list_shopify_changes
-- The customers of one batch who entered or left a Shopify segment with their change of this number
-- between two snapshots.
with changes as (
    select
        c.customer_id,
        c.segment_id,
        c.changed_at,
        c.has_entered,
        row_number() over (
            partition by c.customer_id
            order by c.changed_at, c.has_entered, c.segment_id
        ) as round
    from shopify.segment_changes as c
    where
        c.tenant_id = %(tenant_id)s
        and c.landed_xid >= pg_snapshot_xmin(%(after_snapshot)s::text::pg_snapshot)
        and not pg_visible_in_snapshot(c.landed_xid, %(after_snapshot)s::text::pg_snapshot)
        and pg_visible_in_snapshot(c.landed_xid, %(until_snapshot)s::text::pg_snapshot)
        and mod(hashtext(c.customer_id) & 2147483647, %(batches)s) = %(batch)s - 1
)

select
    c.customer_id,
    'shopify:' || c.segment_id as segment_id,
    c.changed_at,
    null as other_segment_id
from changes as c
where
    c.round = %(round)s
    and c.has_entered = %(has_entered)s
    and (
        %(segment_ids)s::text[] is null
        or 'shopify:' || c.segment_id = any(%(segment_ids)s)
    )
order by c.customer_id;

-- name: list_klaviyo_changes
-- The profiles of one batch that entered or left a pulled list with their change of this number on
-- the list between two snapshots, with their addresses, by which their customers are found.
with changes as (
    select
        c.profile_id,
        c.list_id,
        c.email,
        c.changed_at,
        c.has_entered,
        row_number() over (
            partition by c.list_id, c.profile_id
            order by c.changed_at
        ) as round
    from app.klaviyo_list_changes as c
    where
        c.tenant_id = %(tenant_id)s
        and c.landed_xid >= pg_snapshot_xmin(%(after_snapshot)s::text::pg_snapshot)
        and not pg_visible_in_snapshot(c.landed_xid, %(after_snapshot)s::text::pg_snapshot)
        and pg_visible_in_snapshot(c.landed_xid, %(until_snapshot)s::text::pg_snapshot)
        and mod(hashtext(c.profile_id) & 2147483647, %(batches)s) = %(batch)s - 1
)

select
    c.profile_id,
    c.email,
    'klaviyo:' || c.list_id as segment_id,
    c.changed_at,
    null as other_segment_id
from changes as c
where
    c.round = %(round)s
    and c.has_entered = %(has_entered)s
    and (
        %(segment_ids)s::text[] is null
        or 'klaviyo:' || c.list_id = any(%(segment_ids)s)
    )
order by c.profile_id, c.list_id;

-- name: find_customers_by_email
-- The customers of the last build who have one of these addresses, in whatever case; of several
-- with one address the first, as among the members of a list. The addresses are in lower case.
select
    lower(f.email) as email,
    min(f.customer_id) as customer_id
from marts.customer_facts as f
where f.tenant_id = %(tenant_id)s and lower(f.email) = any(%(emails)s::text[])
group by lower(f.email);

-- name: list_samples
-- The samples of one batch that were found, or fulfilled, at an instant, unless they are samples no
-- longer.
select
    s.order_id,
    s.order_number,
    s.is_ugc,
    s.is_tiktok,
    s.status,
    s.ordered_at,
    s.creator_id::text as creator_id
from app.webhook_samples as w
inner join marts.sample_orders as s
    on s.tenant_id = %(tenant_id)s and w.order_id = s.order_id
where
    w.tenant_id = %(tenant_id)s
    and case when %(is_found)s then w.found_at else w.fulfilled_at end = %(occurred_at)s
    and mod(hashtext(w.order_id) & 2147483647, %(batches)s) = %(batch)s - 1
order by s.ordered_at, s.order_id;

-- name: find_build
-- The run of a build.
select
    r.run_id,
    r.trigger,
    r.started_at,
    r.finished_at
from app.runs as r
where r.tenant_id = %(tenant_id)s and r.run_id = %(run_id)s;

-- name: find_sync
-- How the sync of a configuration ended in a run, as it is recorded now.
select
    r.config_id,
    r.run_id,
    r.segment_key,
    r.list_id,
    r.list_name,
    r.direction,
    r.state as run_state,
    r.stopped_for,
    r.error as run_error,
    r.advice,
    r.counts,
    r.finished_at
from app.klaviyo_sync_runs as r
where
    r.tenant_id = %(tenant_id)s
    and r.run_id = %(run_id)s
    and r.config_id = %(config_id)s;
