-- Who is asking, in words that say nothing secret.
select coalesce(
    (
        select 'API token ' || label || ' …' || last_four
        from app.api_tokens
        where tenant_id = %(tenant_id)s and token_hash = %(digest)s
    ),
    'sign-in link'
) as who
