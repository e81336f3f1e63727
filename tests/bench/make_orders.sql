-- Orders over two years: tenants by Zipf's law, customers skewed (most order once), 1 %% samples. Ids
-- are Shopify's kind: thirteen digits, and no two shops share one.
insert into shopify.orders (
    tenant_id, order_id, order_number, customer_id, customer_email, processed_at, currency,
    total_minor, subtotal_minor, refunded_minor, current_total_minor, current_subtotal_minor,
    financial_status, fulfillment_status, channel, tags, source, shopify_updated_at
)
with seeded as (
    select setseed(0.5) as nothing
),

tenants as (
    select
        tenant_id,
        row_number() over (order by name) as number
    from app.tenants
),

sizes as (
    select
        tenant_id,
        number * 10000000000 as first_id,
        greatest(1, (%(size)s / number / sum(1.0 / number) over ())::int) as orders
    from tenants
),

drawn as (
    select
        s.tenant_id,
        s.first_id,
        n,
        (1 + floor(0.6 * s.orders * power(random(), 2.5)))::bigint as customer,
        random() as when_ordered,
        random() as how_much,
        random() as what_kind
    from sizes as s
    cross join seeded
    cross join lateral generate_series(1, s.orders) as n
)

select
    tenant_id,
    (5000000000000 + first_id + n)::text,
    '#' || n,
    (6000000000000 + first_id + customer)::text,
    'c' || customer || '@example.com',
    timestamptz '2026-07-01 00:00+00' - when_ordered * interval '730 days',
    'USD',
    case when what_kind < 0.01 then 0 else (500 + 20000 * power(how_much, 4))::bigint end,
    case when what_kind < 0.01 then 0 else (500 + 20000 * power(how_much, 4))::bigint end,
    case when what_kind > 0.97 then 500 else 0 end,
    case
        when what_kind < 0.01 then 0
        when what_kind > 0.97 then (20000 * power(how_much, 4))::bigint
        else (500 + 20000 * power(how_much, 4))::bigint
    end,
    case
        when what_kind < 0.01 then 0
        when what_kind > 0.97 then (20000 * power(how_much, 4))::bigint
        else (500 + 20000 * power(how_much, 4))::bigint
    end,
    'PAID',
    'FULFILLED',
    case when what_kind between 0.005 and 0.03 then 'TikTok Shop' else 'Online Store' end,
    case when what_kind < 0.005 then '{UGC-sample}'::text[] else '{}' end,
    'api',
    timestamptz '2026-07-01 00:00+00' - when_ordered * interval '730 days'
from drawn
