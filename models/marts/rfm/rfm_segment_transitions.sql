with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
),

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

scores as (
    select * from {{ ref('customer_rfm_scores') }}
),

instants as (
    select
        w.tenant_id,
        w.instants_back,
        w.as_of
    from windows as w
    inner join tenants as t on w.tenant_id = t.tenant_id
    where w.is_recorded
),

{%- if is_incremental() %}

first_instants as (
    select
        tenant_id,
        max(instants_back) as instants_back,
        min(as_of) as as_of
    from instants
    group by tenant_id
),

-- Where everybody stood before, as the transitions written then tell.
last_transitions as (
    select distinct on (t.tenant_id, t.customer_id)
        t.tenant_id,
        t.customer_id,
        f.instants_back + 1 as instants_back,
        t.to_segment as segment
    from {{ this }} as t
    inner join first_instants as f on t.tenant_id = f.tenant_id and t.as_of < f.as_of
    order by t.tenant_id asc, t.customer_id asc, t.as_of desc
),
{%- endif %}

states as (
    select
        s.tenant_id,
        s.customer_id,
        s.instants_back,
        s.segment
    from scores as s
    inner join instants as i on s.tenant_id = i.tenant_id and s.instants_back = i.instants_back
    {%- if is_incremental() %}

    union all

    select * from last_transitions
    where segment is not null
    {%- endif %}
),

-- Each state (a) beside the one an instant before (b): none before is entering, none after leaving.
changes as (
    select
        coalesce(a.tenant_id, b.tenant_id) as tenant_id,
        coalesce(a.customer_id, b.customer_id) as customer_id,
        coalesce(a.instants_back, b.instants_back - 1) as instants_back,
        b.segment as from_segment,
        a.segment as to_segment
    from states as a
    full join states as b
        on
            a.tenant_id = b.tenant_id
            and a.customer_id = b.customer_id
            and a.instants_back + 1 = b.instants_back
    where a.segment is distinct from b.segment
),

final as (
    select
        c.tenant_id,
        c.customer_id,
        c.from_segment,
        c.to_segment,
        i.as_of
    from changes as c
    inner join instants as i on c.tenant_id = i.tenant_id and c.instants_back = i.instants_back
)

select
    tenant_id,
    customer_id,
    from_segment,
    to_segment,
    as_of
from final
