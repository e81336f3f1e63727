-- Sample orders of one tenant as CSV; lists are joined by semicolons.
copy (
    select
        order_id,
        is_ugc::text as is_ugc,
        is_tiktok::text as is_tiktok,
        array_to_string(matched_tags, ';') as matched_tags,
        array_to_string(matched_patterns, ';') as matched_patterns,
        status
    from marts.sample_orders
    where tenant_id = {tenant_id}
    order by order_id
) to stdout with (format csv, header true)
