-- dbt sees all tenants because it acts as quintile_transform, which the policy all_tenants names
-- (assert_isolation_holds checks that it does). As a role without a policy it would see no rows,
-- and every other test would pass on nothing.
{{ config(enabled=are_relations_protected()) }}

select current_user as acting_role
where current_user <> 'quintile_transform'
