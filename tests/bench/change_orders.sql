-- A share of the orders is refunded in part, spread over everything.
update shopify.orders
set refunded_minor = refunded_minor + 1, landed_at = now(), landed_xid = default
where ('x' || substr(md5(tenant_id || order_id), 1, 8))::bit(32)::bigint
    < %(share)s * 4294967296
