-- depends_on: {{ ref('rfm_builds') }}
{%- set figures = [
    'tenant_id', 'customer_id', 'email', 'phone', 'display_name', 'marketing_state',
    'is_in_shopify', 'is_excluded_from_rfm', 'lifetime_order_count', 'lifetime_minor', 'first_order_at', 'last_order_at',
    'window_order_count', 'window_minor', 'sample_order_ids'
] %}
{%- set sale %}
            o.tenant_id,
            o.customer_id,
            w.window_starts_at,
            case when {{ is_sale() }} then o.ordered_at end as sold_at,
            o.net_minor
{%- endset %}

with

windows as not materialized (
    select * from {{ ref('int_windows_built_for_rfm') }}
    where instants_back = 0 and {{ tenant_filter() }}
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
    where {{ tenant_filter() }}
),

landed_customers as not materialized (
    select * from {{ ref('stg_shopify__customers') }}
    where {{ tenant_filter() }}
),

samples as not materialized (
    select
        tenant_id,
        order_id,
        customer_id
    from {{ ref('int_orders_matched_as_samples') }}
    where {{ tenant_filter() }}
),

-- Materialized so that the planner hashes it instead of looking it up once per order.
hashed_samples as materialized (
    select
        tenant_id,
        order_id
    from samples
),

settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
),

relay_domains as (
    select * from {{ ref('int_relay_domains_combined') }}
),

segments as (
    select * from {{ ref('int_segments_listed_by_score') }}
),

fully_recalculated_windows as not materialized (
    select *
    from windows
    {%- if is_incremental() %}
    where is_measured_anew
    {%- endif %}
),

-- Read from a table so that the planner knows how few they are. For a fully recalculated tenant the
-- table may still hold customers that another build found, so those are skipped.
changed_customers as not materialized (
    select * from {{ ref('int_customers_touched') }}
    where
        {{ tenant_filter() if is_incremental() else 'false' }}
        and tenant_id not in (select w.tenant_id from fully_recalculated_windows as w)
),

customer_samples as (
    select
        tenant_id,
        customer_id,
        array_agg(order_id order by order_id) as sample_order_ids
    from samples
    where customer_id is not null
    group by tenant_id, customer_id
),

{% if is_incremental() -%}
previous_facts as not materialized (
    select
        {{ figures | reject('in', ['phone', 'is_in_shopify']) | join(',\n        ') }},
        {{ column_or_null('phone', 'text') }} as phone,
        {{ column_or_null('is_in_shopify', 'boolean') }} as is_in_shopify,
        r_score,
        f_score,
        m_score
    from {{ this }}
    where {{ tenant_filter() }}
),

-- A left join on this flag hashes the few changed customers. With `not exists`, an anti join, the
-- planner would hash all customers.
flagged_customers as not materialized (
    select
        tenant_id,
        customer_id,
        true as is_changed
    from changed_customers
),

{% endif -%}
-- In the lateral subquery, `offset 0` forces one index lookup per customer, whatever the planner
-- estimates. At the end of each half, it makes PostgreSQL apply the rule once per order instead of
-- once per figure below. The first half reads all orders. Parallel workers can share that scan as
-- long as nothing in it is materialized.
sales as (
    (
        select
            {{- sale }}
        from orders as o
        inner join fully_recalculated_windows as w on o.tenant_id = w.tenant_id
        left join samples as s on o.tenant_id = s.tenant_id and o.order_id = s.order_id
        where o.customer_id is not null
        offset 0 -- noqa: AM09
    )

    union all

    (
        select
            {{- sale }}
        from changed_customers as t
        inner join windows as w on t.tenant_id = w.tenant_id
        cross join
            lateral (
                select n.* from orders as n
                where n.tenant_id = t.tenant_id and n.customer_id = t.customer_id
                offset 0 -- noqa: AM09
            ) as o
        left join hashed_samples as s on o.tenant_id = s.tenant_id and o.order_id = s.order_id
        offset 0 -- noqa: AM09
    )
),

customers_to_recalculate as (
    select c.*
    from landed_customers as c
    inner join fully_recalculated_windows as w on c.tenant_id = w.tenant_id

    union all

    select c.*
    from changed_customers as t
    cross join lateral (
        select c.* from landed_customers as c
        where c.tenant_id = t.tenant_id and c.customer_id = t.customer_id
        offset 0 -- noqa: AM09
    ) as c
),

order_figures as (
    select
        tenant_id,
        customer_id,
        count(sold_at)::int as lifetime_order_count,
        coalesce(sum(net_minor) filter (where sold_at is not null), 0) as lifetime_minor,
        min(sold_at) as first_order_at,
        max(sold_at) as last_order_at,
        (count(*) filter (where sold_at >= window_starts_at))::int as window_order_count,
        coalesce(
            sum(net_minor) filter (where sold_at >= window_starts_at), 0
        ) as window_minor
    from sales
    group by tenant_id, customer_id
),

customer_figures as (
    select
        coalesce(o.tenant_id, c.tenant_id) as tenant_id,
        coalesce(o.customer_id, c.customer_id) as customer_id,
        c.email,
        c.display_name,
        c.marketing_state,
        -- PostgreSQL takes five times as long for '{1,20}' as for '+'.
        coalesce(
            c.customer_id ~ '^[0-9]+$' and length(c.customer_id) <= 20, false
        ) as is_in_shopify,
        coalesce(o.lifetime_order_count, 0) as lifetime_order_count,
        coalesce(o.lifetime_minor, 0) as lifetime_minor,
        o.first_order_at,
        o.last_order_at,
        coalesce(o.window_order_count, 0) as window_order_count,
        coalesce(o.window_minor, 0) as window_minor
    from order_figures as o
    full join customers_to_recalculate as c
        on o.tenant_id = c.tenant_id and o.customer_id = c.customer_id
),

-- Relay domains include their subdomains. The tenant's excluded domains do not.
excluded_domain_patterns as (
    select
        tenant_id,
        base_domain,
        pattern
    from relay_domains

    union all

    select
        s.tenant_id,
        {{ base_domain('excluded.domain') }} as base_domain,
        '.' || {{ domain_pattern('excluded.domain') }} as pattern
    from settings as s
    cross join lateral unnest(s.excluded_domains) as excluded (domain)
),

-- One row per base domain, so that no customer matches twice.
excluded_domains as (
    select
        tenant_id,
        base_domain,
        array_agg(pattern) as patterns
    from excluded_domain_patterns
    group by tenant_id, base_domain
),

excluded_customers as (
    select distinct
        tenant_id,
        unnest(excluded_customer_ids) as customer_id
    from settings
),

-- Imported orders may belong to customers that the store never sent. Use the address of their last
-- order that has one, else its phone number, and the name of their last order that has one; with an
-- index, look them up per customer.
{% if are_orders_indexed() -%}
customers_with_contact as (
    select
        k.*,
        coalesce(
            k.email,
            (
                select o.customer_email from orders as o
                where
                    o.tenant_id = k.tenant_id
                    and o.customer_id = k.customer_id
                    and o.customer_email is not null
                order by o.ordered_at desc, o.order_id desc
                limit 1
            )
        ) as resolved_email,
        case
            when k.email is null
                then (
                    select o.customer_phone from orders as o
                    where
                        o.tenant_id = k.tenant_id
                        and o.customer_id = k.customer_id
                        and o.customer_phone is not null
                    order by o.ordered_at desc, o.order_id desc
                    limit 1
                )
        end as phone,
        coalesce(
            k.display_name,
            (
                select o.customer_name from orders as o
                where
                    o.tenant_id = k.tenant_id
                    and o.customer_id = k.customer_id
                    and o.customer_name is not null
                order by o.ordered_at desc, o.order_id desc
                limit 1
            )
        ) as resolved_name
    from customer_figures as k
    offset 0 -- noqa: AM09
),
{%- else -%}
order_emails as (
    select distinct on (o.tenant_id, o.customer_id)
        o.tenant_id,
        o.customer_id,
        o.customer_email as email
    from customer_figures as k
    inner join orders as o on k.tenant_id = o.tenant_id and k.customer_id = o.customer_id
    where k.email is null and o.customer_email is not null
    order by o.tenant_id asc, o.customer_id asc, o.ordered_at desc, o.order_id desc
),

order_phones as (
    select distinct on (o.tenant_id, o.customer_id)
        o.tenant_id,
        o.customer_id,
        o.customer_phone as phone
    from customer_figures as k
    inner join orders as o on k.tenant_id = o.tenant_id and k.customer_id = o.customer_id
    where k.email is null and o.customer_phone is not null
    order by o.tenant_id asc, o.customer_id asc, o.ordered_at desc, o.order_id desc
),

order_names as (
    select distinct on (o.tenant_id, o.customer_id)
        o.tenant_id,
        o.customer_id,
        o.customer_name
    from customer_figures as k
    inner join orders as o on k.tenant_id = o.tenant_id and k.customer_id = o.customer_id
    where k.display_name is null and o.customer_name is not null
    order by o.tenant_id asc, o.customer_id asc, o.ordered_at desc, o.order_id desc
),

customers_with_contact as (
    select
        k.*,
        coalesce(k.email, a.email) as resolved_email,
        p.phone,
        coalesce(k.display_name, n.customer_name) as resolved_name
    from customer_figures as k
    left join order_emails as a
        on k.tenant_id = a.tenant_id and k.customer_id = a.customer_id
    left join order_phones as p
        on k.tenant_id = p.tenant_id and k.customer_id = p.customer_id
    left join order_names as n
        on k.tenant_id = n.tenant_id and k.customer_id = n.customer_id
),
{%- endif %}

-- `offset 0` makes PostgreSQL take the domain out of each address once, for several comparisons.
customers_with_domain as (
    select
        *,
        {{ email_domain('resolved_email') }} as email_domain
    from customers_with_contact
    offset 0 -- noqa: AM09
),

recalculated as materialized (
    select
        k.tenant_id,
        k.customer_id,
        k.resolved_email as email,
        k.phone,
        k.resolved_name as display_name,
        k.marketing_state,
        k.is_in_shopify,
        x.customer_id is not null or d.base_domain is not null as is_excluded_from_rfm,
        k.lifetime_order_count,
        k.lifetime_minor,
        k.first_order_at,
        k.last_order_at,
        k.window_order_count,
        k.window_minor,
        s.sample_order_ids
    from customers_with_domain as k
    left join customer_samples as s
        on k.tenant_id = s.tenant_id and k.customer_id = s.customer_id
    left join excluded_customers as x
        on k.tenant_id = x.tenant_id and k.customer_id = x.customer_id
    left join excluded_domains as d
        on
            k.tenant_id = d.tenant_id
            and {{ base_domain('k.email_domain') }} = d.base_domain
            and '.' || k.email_domain like any(d.patterns)
),

-- Customers recalculated now, and those whose figures of the previous build still hold.
customers_to_score as not materialized (
    select
        tenant_id,
        last_order_at,
        window_order_count,
        window_minor
    from recalculated
    where window_order_count > 0 and not is_excluded_from_rfm
    {%- if is_incremental() %}

    union all

    select
        k.tenant_id,
        k.last_order_at,
        k.window_order_count,
        k.window_minor
    from previous_facts as k
    left join flagged_customers as t
        on k.tenant_id = t.tenant_id and k.customer_id = t.customer_id
    where
        t.is_changed is null
        and k.window_order_count > 0
        and not k.is_excluded_from_rfm
        and k.tenant_id not in (select w.tenant_id from fully_recalculated_windows as w)
    {%- endif %}
),

-- The k-th cut value is the upper bound of the first k fifths of a tenant's customers.
cut_values as materialized (
    select
        tenant_id,
        {{ cut_values('last_order_at', 'desc') }} as last_order_cuts,
        {{ cut_values('window_order_count', 'asc') }} as frequency_cuts,
        {{ cut_values('window_minor', 'asc') }} as monetary_cuts
    from customers_to_score
    group by tenant_id
),

{% if is_incremental() -%}
-- Most scores still hold. Two comparisons with the cut values next to a score are enough to check
-- it. The check runs before changed customers are excluded, which needs a hash lookup per customer.
-- It also runs in parallel workers, which cannot read a CTE, so the cut values are passed as one
-- JSON document.
outdated_scores as (
    select
        k.*,
        v.last_order_cuts,
        v.frequency_cuts,
        v.monetary_cuts
    from previous_facts as k
    left join jsonb_to_recordset((select jsonb_agg(c) from cut_values as c)) as v (
        tenant_id uuid,
        last_order_cuts timestamptz [],
        frequency_cuts int [],
        monetary_cuts numeric []
    )
        on
            k.tenant_id = v.tenant_id
            and k.window_order_count > 0
            and not k.is_excluded_from_rfm
    where
        k.tenant_id not in (select w.tenant_id from fully_recalculated_windows as w)
        and (
            (k.r_score is null) <> (v.tenant_id is null)
            or not {{ equals_score_below('k.r_score', 'k.last_order_at', 'v.last_order_cuts') }}
            or not {{ equals_score_above('k.f_score', 'k.window_order_count', 'v.frequency_cuts') }}
            or not {{ equals_score_above('k.m_score', 'k.window_minor', 'v.monetary_cuts') }}
        )
    offset 0 -- noqa: AM09
),

{% endif -%}
rows_to_write as (
    select
        m.*,
        v.last_order_cuts,
        v.frequency_cuts,
        v.monetary_cuts
    from recalculated as m
    left join cut_values as v
        on
            m.tenant_id = v.tenant_id
            and m.window_order_count > 0
            and not m.is_excluded_from_rfm
    {%- if is_incremental() %}

    union all

    select
        k.{{ figures | join(',\n        k.') }},
        k.last_order_cuts,
        k.frequency_cuts,
        k.monetary_cuts
    from outdated_scores as k
    left join flagged_customers as t
        on k.tenant_id = t.tenant_id and k.customer_id = t.customer_id
    where t.is_changed is null
    {%- endif %}
),

-- `offset 0` makes PostgreSQL compute each score once, although it is used twice below.
scored as (
    select
        *,
        {{ score_below('last_order_at', 'last_order_cuts') }} as r_score,
        {{ score_above('window_order_count', 'frequency_cuts') }} as f_score,
        {{ score_above('window_minor', 'monetary_cuts') }} as m_score
    from rows_to_write
    offset 0 -- noqa: AM09
),

-- The segment depends only on the scores. The rule is part of settings_key, so a changed rule
-- recalculates the whole tenant.
final as (
    select
        s.*,
        {{ segment_of_scores('s', 'g.segments') }} as segment
    from scored as s
    left join segments as g on s.tenant_id = g.tenant_id
)

select
    {{ figures | join(',\n    ') }},
    r_score,
    f_score,
    m_score,
    segment
from final
