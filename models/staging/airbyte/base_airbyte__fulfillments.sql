{{ config(enabled=var('source_layout') == 'airbyte', materialized='ephemeral') }}

with

orders as (
    select * from {{ ref('base_airbyte__orders') }}
),

landed_fulfillments as (
    select
        o.source_schema,
        o.id as order_id,
        f.parcel ->> 'status' as status,
        f.parcel ->> 'created_at' as created_text,
        {{ time_or_null("(f.parcel ->> 'created_at')") }} as created_at
    from orders as o
    cross join lateral {{ json_objects('o.fulfillments', '$[*]') }} as f (parcel)
    offset 0 -- noqa: AM09
),

final as (
    select
        *,
        case
            when created_text <> '' and created_at is null
                then {{ missing_or_unreadable('created_text', 'created_at', 'time') }}
        end as problem
    from landed_fulfillments
)

select * from final
