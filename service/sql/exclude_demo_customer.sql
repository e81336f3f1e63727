-- The demo stores' TikTok connector books orders on a customer who is no person; an operator would
-- say so with `quintile tenants set NAME --exclude-customer ID`.
update app.rfm_settings
set
    excluded_customer_ids = array(
        select c.customer_id
        from shopify.customers as c
        where
            c.tenant_id = %(tenant_id)s
            and c.display_name = 'TikTok Default Customer'
        order by c.customer_id
    )
where tenant_id = %(tenant_id)s
