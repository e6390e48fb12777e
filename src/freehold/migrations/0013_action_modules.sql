-- 0013_action_modules.sql
create table action_modules (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    ix_name text,
    primary key (tenant_id, id)
) {with_rowid};
create unique index action_modules_ix_name on action_modules (tenant_id, ix_name) where ix_name is not null;

create table action_module_versions (
    tenant_id text not null,
    id text not null,
    parent_id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};
create index action_module_versions_parent_id_id on action_module_versions (tenant_id, parent_id, id);
