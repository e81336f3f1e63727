-- All that dbt built of a person. Read as quintile_transform, whose tables these are.
select
    app.rows_built_of_person(
        %(tenant_id)s,
        %(customer_ids)s,
        %(order_ids)s,
        %(emails)s,
        %(creator_ids)s::uuid[]
    ) as built
