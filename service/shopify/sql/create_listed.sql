-- Which orders or customers the shop has, as a bulk operation has listed them, and what of the
-- landed ones is not among them.
create temporary table listed (
    source_id text not null,
    updated_at timestamptz not null,
    customer_id text
) on commit drop;

create temporary table missing (
    source_id text not null
) on commit drop
