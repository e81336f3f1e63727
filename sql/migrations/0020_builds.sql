-- What the last build that had everything to itself has left: builds of some tenants may run beside
-- each other while it is there and is what this release's models make.
create table app.built_project (
    project text not null,
    checksum text not null,
    relations text[] not null,
    built_at timestamptz not null default now(),
    constraint built_project_pkey primary key (project)
);

comment on table app.built_project is 'The models as of which dbt''s tables and views stand.';
comment on column app.built_project.project is 'Name of the dbt project.';
comment on column app.built_project.checksum is 'SHA-256 of its models, macros and seeds.';
comment on column app.built_project.relations is 'Tables and views there were afterwards.';

grant select, insert, update on app.built_project to quintile_transform;
