-- 0015_export_keys.sql
create table export_keys (
    tenant_id text not null,
    fingerprint text not null,
    certificate text not null,
    created_at_ms bigint not null,
    primary key (tenant_id, fingerprint)
) {without_rowid};
