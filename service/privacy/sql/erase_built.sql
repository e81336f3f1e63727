-- Deletes all that dbt built of a person. Run as quintile_transform, whose tables these are.
select
    app.erase_built_rows_of_person(
        %(tenant_id)s,
        %(customer_ids)s,
        %(order_ids)s,
        %(emails)s,
        %(creator_ids)s::uuid[]
    ) as counts
