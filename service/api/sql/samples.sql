-- name: choose_creator
-- Set or remove the creator of a sample. No row if the order is not a sample or the creator does
-- not exist.
insert into app.sample_creator_links as l (tenant_id, order_id, creator_id, linked_by)
select
    s.tenant_id,
    s.order_id,
    %(creator_id)s::uuid,
    %(linked_by)s
from marts.sample_orders as s
where
    s.tenant_id = %(tenant_id)s
    and s.order_id = %(order_id)s
    and (
        %(creator_id)s::uuid is null
        or exists (
            select from app.creators as c
            where c.tenant_id = %(tenant_id)s and c.creator_id = %(creator_id)s
        )
    )
on conflict (tenant_id, order_id) do update set
    creator_id = excluded.creator_id,
    linked_by = excluded.linked_by,
    linked_at = excluded.linked_at
returning order_id;

-- name: find_chosen_creator
-- The creator that a person has chosen for a sample, null if removed. No row if the build finds it.
select creator_id
from app.sample_creator_links
where tenant_id = %(tenant_id)s and order_id = %(order_id)s;

-- name: delete_chosen_creator
-- Use the creator that the build finds again.
delete from app.sample_creator_links
where tenant_id = %(tenant_id)s and order_id = %(order_id)s;

-- name: list_sample_months
-- Samples by month and type, newest month first.
select
    ordered_month as month,
    sample_type as type,
    samples as total,
    pending,
    partly_fulfilled as partial,
    fulfilled,
    cancelled,
    goods_value,
    currency
from marts.sample_stats_by_month
where tenant_id = %(tenant_id)s
order by ordered_month desc, sample_type asc
limit 3 * %(months)s;

-- name: find_sample_note
-- The note on an order.
select note
from shopify.orders
where tenant_id = %(tenant_id)s and order_id = %(order_id)s and deleted_at is null;

-- name: find_sample_stats
-- Samples by type as of the last build. Zeros before the first build.
select
    t.type,
    coalesce(s.samples, 0) as total,
    coalesce(s.pending, 0) as pending,
    coalesce(s.partly_fulfilled, 0) as partial,
    coalesce(s.fulfilled, 0) as fulfilled,
    coalesce(s.cancelled, 0) as cancelled,
    s.goods_value,
    s.currency,
    s.median_days_to_fulfil,
    coalesce(s.last_30_days, 0) as last_30_days,
    coalesce(s.previous_30_days, 0) as previous_30_days,
    s.calculated_at
from (values (1, 'all'), (2, 'ugc'), (3, 'tiktok')) as t (position, type)
left join marts.sample_stats as s on s.tenant_id = %(tenant_id)s and t.type = s.sample_type
order by t.position;

-- name: list_sample_suggestions
-- A page of orders that are almost samples, newest first, with one extra row. Without those that a
-- person has decided about, and those whose tag the settings cover since.
with config as (
    select
        array(select app.tag_key(u.tag) from unnest(s.ugc_tags) as u (tag)) as ugc_tag_keys,
        array(select app.tag_key(k.tag) from unnest(s.tiktok_tags) as k (tag)) as tiktok_tag_keys
    from app.samples_config as s
    where s.tenant_id = %(tenant_id)s
)

select
    n.order_id,
    n.order_number,
    n.customer_name,
    n.customer_email,
    n.reason,
    n.evidence,
    n.channel,
    n.tags,
    n.goods_paid,
    n.currency,
    n.ordered_at,
    case
        when
            n.reason = 'channel_not_free'
            or exists (
                select from unnest(n.evidence) as e (tag)
                where
                    app.tag_key(e.tag) = any(c.tiktok_tag_keys)
                    or app.tag_key(e.tag) ~ 'tik[ _-]?tok'
            )
            then 'tiktok'
        else 'ugc'
    end as suggested_type
from marts.sample_near_misses as n
cross join config as c
where
    n.tenant_id = %(tenant_id)s
    and (%(reason)s::text is null or n.reason = %(reason)s)
    and not exists (
        select from app.sample_decisions as d
        where d.tenant_id = %(tenant_id)s and d.order_id = n.order_id
    )
    and not (
        n.reason = 'tag_looks_like_sample'
        and exists (
            select from unnest(n.evidence) as e (tag)
            where app.tag_key(e.tag) = any(c.ugc_tag_keys || c.tiktok_tag_keys)
        )
    )
    and (
        %(after_ordered_at)s::timestamptz is null
        or (n.ordered_at, n.order_id) < (%(after_ordered_at)s, %(after_order_id)s)
    )
order by n.ordered_at desc, n.order_id desc
limit %(row_limit)s;

-- name: decide_sample
-- Record what a person decided about an order. No row if there is no such order.
insert into app.sample_decisions as d (tenant_id, order_id, decision, decided_by)
select
    o.tenant_id,
    o.order_id,
    %(decision)s,
    %(decided_by)s
from shopify.orders as o
where o.tenant_id = %(tenant_id)s and o.order_id = %(order_id)s and o.deleted_at is null
on conflict (tenant_id, order_id) do update set
    decision = excluded.decision,
    decided_by = excluded.decided_by,
    decided_at = excluded.decided_at
returning d.order_id;

-- name: list_sample_decisions
-- A page of what people decided about orders, newest decision first, with one extra row.
select
    d.order_id,
    o.order_number,
    coalesce(o.customer_name, c.display_name) as customer_name,
    coalesce(o.customer_email, c.email) as customer_email,
    o.processed_at as ordered_at,
    d.decision,
    d.decided_by,
    d.decided_at
from app.sample_decisions as d
left join shopify.orders as o
    on
        o.tenant_id = %(tenant_id)s
        and d.order_id = o.order_id
        and o.deleted_at is null
left join shopify.customers as c
    on
        c.tenant_id = %(tenant_id)s
        and o.customer_id = c.customer_id
        and c.deleted_at is null
where
    d.tenant_id = %(tenant_id)s
    and (%(decision)s::text is null or d.decision = %(decision)s)
    and (
        %(after_decided_at)s::timestamptz is null
        or (d.decided_at, d.order_id) < (%(after_decided_at)s, %(after_order_id)s)
    )
order by d.decided_at desc, d.order_id desc
limit %(row_limit)s;

-- name: find_sample_decision
-- What a person decided about an order.
select decision
from app.sample_decisions
where tenant_id = %(tenant_id)s and order_id = %(order_id)s;

-- name: delete_sample_decision
-- Let the settings decide about an order again. No row if there was no decision.
delete from app.sample_decisions
where tenant_id = %(tenant_id)s and order_id = %(order_id)s
returning decision;

-- name: list_unknown_sample_statuses
-- Fulfillment statuses that the seed does not map, which count as pending.
select
    fulfillment_status,
    samples
from marts.sample_unknown_statuses
where tenant_id = %(tenant_id)s
order by samples desc, fulfillment_status asc;

-- name: find_samples_settings
-- A tenant's settings for samples, and who changed them last.
select
    s.ugc_tags,
    s.tiktok_tags,
    s.channel_patterns,
    s.zero_price_only,
    s.ugc_zero_price_only,
    s.updated_at,
    (
        select c.changed_by
        from app.samples_config_changes as c
        where c.tenant_id = %(tenant_id)s
        order by c.changed_at desc
        limit 1
    ) as updated_by
from app.samples_config as s
where s.tenant_id = %(tenant_id)s;

-- name: list_samples_settings_history
-- A page of the replaced settings of a tenant, newest change first, with one extra row. Or those of
-- one change.
select
    change_id,
    changed_at,
    changed_by,
    former_ugc_tags as ugc_tags,
    former_tiktok_tags as tiktok_tags,
    former_channel_patterns as channel_patterns,
    former_zero_price_only as zero_price_only,
    former_ugc_zero_price_only as ugc_zero_price_only
from app.samples_config_changes
where
    tenant_id = %(tenant_id)s
    and (%(change_id)s::uuid is null or change_id = %(change_id)s)
    and (
        %(after_changed_at)s::timestamptz is null
        or (changed_at, change_id) < (%(after_changed_at)s, %(after_change_id)s)
    )
order by changed_at desc, change_id desc
limit %(row_limit)s;

-- name: set_samples_preview
-- Make marts.sample_preview use the changed settings until the transaction ends.
select
    set_config(
        'app.samples_preview',
        jsonb_build_object(
            'tenant_id', tenant_id,
            'ugc_tags', coalesce(%(ugc_tags)s::text[], ugc_tags),
            'tiktok_tags', coalesce(%(tiktok_tags)s::text[], tiktok_tags),
            'channel_patterns', coalesce(%(channel_patterns)s::text[], channel_patterns),
            'zero_price_only', coalesce(%(zero_price_only)s, zero_price_only),
            'ugc_zero_price_only', coalesce(%(ugc_zero_price_only)s, ugc_zero_price_only)
        )::text,
        true
    )
from app.samples_config
where tenant_id = %(tenant_id)s;

-- name: match_channels
-- A tenant's channels and the patterns that each matches, as a build matches them. Jumps from each
-- channel to the next one in the index, so that a million orders of one channel are one step.
with recursive channels as (
    (
        select
            o.channel,
            1 as position
        from shopify.orders as o
        where o.tenant_id = %(tenant_id)s and o.channel is not null
        order by o.channel
        limit 1
    )

    union all

    select
        n.channel,
        c.position + 1 as position
    from channels as c
    cross join lateral (
        select o.channel
        from shopify.orders as o
        where o.tenant_id = %(tenant_id)s and o.channel > c.channel
        order by o.channel
        limit 1
    ) as n
    where c.position < %(most)s
)

select
    c.channel,
    array(
        select p.pattern
        from unnest(%(patterns)s::text[]) as p (pattern)
        where c.channel ilike p.pattern
    ) as matched_patterns
from channels as c
order by c.position;
