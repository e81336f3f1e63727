copy (
    select * from shopify.orders
) to stdout
