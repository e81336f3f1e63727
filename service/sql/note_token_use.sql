-- Remember the day a token was last used: one write a day, not one a request.
update app.api_tokens
set last_used_on = current_date
where tenant_id = %(tenant_id)s and token_hash = %(token_hash)s
