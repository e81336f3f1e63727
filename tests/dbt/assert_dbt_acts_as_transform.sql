-- dbt sees all tenants because it acts as quintile_transform, which the policy all_tenants names
-- (checked by assert_isolation_holds). With a role without a policy it would see no rows, and all
-- other tests would pass on empty tables.
{{ config(enabled=are_relations_protected()) }}

select current_user as acting_role
where current_user <> 'quintile_transform'
