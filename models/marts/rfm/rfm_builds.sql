-- The macro publish_build writes the rows as a post-hook of customer_facts, in the transaction that
-- replaces the scores, so that the scores always match the date here. This model creates the table
-- and drops the rows of deleted tenants.
with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

builds as (
    {%- if is_incremental() %}
    select
        tenant_id,
        as_of,
        window_starts_at,
        window_days,
        time_zone,
        currency,
        currency_exponent,
        recorded_until,
        {{ column_or_null('settings_key', 'text') }} as settings_key,
        {{ column_or_null('changes_from', 'xid8') }} as changes_from
    from {{ this }}
    {%- else %}
    select
        null::uuid as tenant_id,
        null::timestamptz as as_of,
        null::timestamptz as window_starts_at,
        null::int as window_days,
        null::text as time_zone,
        null::text as currency,
        null::int as currency_exponent,
        null::timestamptz as recorded_until,
        null::text as settings_key,
        null::xid8 as changes_from
    where false
    {%- endif %}
),

final as (
    select
        b.tenant_id,
        b.as_of,
        b.window_starts_at,
        b.window_days,
        b.time_zone,
        b.currency,
        b.currency_exponent,
        b.recorded_until,
        b.settings_key,
        b.changes_from
    from builds as b
    inner join tenants as t on b.tenant_id = t.tenant_id
)

select * from final
