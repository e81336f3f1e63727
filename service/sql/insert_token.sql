-- Keep the digest of a new API token.
insert into app.api_tokens (tenant_id, token_hash, label, last_four)
values (%(tenant_id)s, %(token_hash)s, %(label)s, %(last_four)s)
