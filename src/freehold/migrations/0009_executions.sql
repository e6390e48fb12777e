-- 0009_executions.sql
create table module_sets (
    tenant_id text not null,
    digest text not null,
    packages text not null,
    lock_file text not null,
    created_at_ms bigint not null,
    primary key (tenant_id, digest)
) {without_rowid};

create table executions (
    tenant_id text not null,
    id text not null,
    trigger_id text not null,
    status text not null,
    results text not null,
    created_at_ms bigint not null,
    updated_at_ms bigint not null,
    expires_at_ms bigint not null,
    primary key (tenant_id, id)
) {without_rowid};
