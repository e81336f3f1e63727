-- Keep the digest of a new sign-in code.
insert into app.sign_in_codes (tenant_id, code_hash, expires_at)
values (%(tenant_id)s, %(code_hash)s, now() + %(lifetime)s)
