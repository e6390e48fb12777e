-- 0006_extensions.sql
create table rules (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    ix_name text,
    primary key (tenant_id, id)
) {with_rowid};
create unique index rules_ix_name on rules (tenant_id, ix_name) where ix_name is not null;

create table rules_configs (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};

create table hooks (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    ix_triggerId text,
    primary key (tenant_id, id)
) {with_rowid};
create index hooks_ix_triggerId_id on hooks (tenant_id, ix_triggerId, id);

create table hook_secrets (
    tenant_id text not null,
    id text not null,
    parent_id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};
create index hook_secrets_parent_id_id on hook_secrets (tenant_id, parent_id, id);

create table actions (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    ix_name text,
    primary key (tenant_id, id)
) {with_rowid};
create index actions_ix_name_id on actions (tenant_id, ix_name, id);

create table action_versions (
    tenant_id text not null,
    id text not null,
    parent_id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};
create index action_versions_parent_id_id on action_versions (tenant_id, parent_id, id);

create table action_bindings (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    ix_trigger_id text,
    ix_action_id text,
    primary key (tenant_id, id)
) {with_rowid};
create index action_bindings_ix_trigger_id_id on action_bindings (tenant_id, ix_trigger_id, id);
create index action_bindings_ix_action_id_id on action_bindings (tenant_id, ix_action_id, id);
