with

samples as (
    select * from {{ ref('int_samples_described') }}
),

fulfillment_statuses as (
    select * from {{ ref('fulfillment_statuses') }}
),

with_status as (
    select
        s.*,
        case
            when s.cancelled_at is not null then 'cancelled'
            else coalesce(f.status, 'pending')
        end as status
    from samples as s
    left join fulfillment_statuses as f
        on upper(btrim(s.fulfillment_status)) = f.fulfillment_status
),

final as (
    select
        f.tenant_id,
        f.order_id,
        f.order_number,
        f.customer_id,
        f.customer_name,
        f.customer_email,
        f.is_ugc,
        f.is_tiktok,
        f.matched_tags,
        f.matched_patterns,
        f.price_reason,
        f.channel,
        f.tags,
        f.line_items,
        f.currency,
        f.fulfillment_status,
        f.status,
        f.ordered_at,
        f.cancelled_at,
        f.first_fulfilled_at,
        f.delivered_at,
        case
            when f.first_fulfilled_at is not null or f.status in ('pending', 'partial') then
                greatest(
                    0,
                    floor(
                        extract(
                            epoch from coalesce(f.first_fulfilled_at, {{ as_of() }}) - f.ordered_at
                        ) / 86400
                    )
                )::int
        end as days_waiting
    from with_status as f
)

select * from final
