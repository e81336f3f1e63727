-- Whether all that dbt builds is there, as these models make it. Read as quintile_transform.
select count(*) > 0 as is_built
from app.built_project as p
where
    p.project = %(project)s
    and p.checksum = %(checksum)s
    and not exists (
        select from unnest(p.relations) as relation
        where to_regclass(relation) is null
    )
