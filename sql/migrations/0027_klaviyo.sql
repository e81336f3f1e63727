-- Klaviyo: whether a call may have added an address, and addresses without invisible characters.

alter table app.klaviyo_ledger
add column sent_at timestamptz;

comment on column app.klaviyo_ledger.sent_at is
'When a call that may have added the address was last made; null if certainly none was.';

-- An address as it is stored and compared, apart from its case: the macro clean_address says the
-- same to dbt, and a test compares them. Copied addresses bring characters that nobody sees:
-- without them (soft hyphen, zero-width and no-break spaces, marks of direction and byte order)
-- and without space of any kind around it, it is the address that was meant.
create function app.clean_address(address text) returns text
language sql immutable parallel safe
return nullif(
    regexp_replace(
        regexp_replace(
            address,
            '[\u00a0\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202f\u2060-\u206f\ufeff]+',
            '',
            'g'
        ),
        '^[\s\u001c-\u001f\u0085\u1680\u2000-\u200a\u2028\u2029\u205f\u3000]+'
        '|[\s\u001c-\u001f\u0085\u1680\u2000-\u200a\u2028\u2029\u205f\u3000]+$',
        '',
        'g'
    ),
    ''
);
