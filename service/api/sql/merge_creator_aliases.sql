-- What led to the one leads to the other from now on.
insert into app.creator_aliases as a (tenant_id, kind, alias, creator_id)
select
    %(tenant_id)s,
    k.kind,
    k.alias,
    %(into_id)s
from (
    select
        'handle' as kind,
        handle as alias
    from app.creators
    where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s and handle is not null

    union distinct

    select
        'email' as kind,
        email as alias
    from app.creators
    where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s and email is not null

    union distinct

    select
        kind,
        alias
    from app.creator_aliases
    where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s
) as k
on conflict (tenant_id, kind, alias) do update set creator_id = excluded.creator_id
