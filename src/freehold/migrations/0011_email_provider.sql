-- 0011_email_provider.sql
create table email_provider (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    secrets bytea,
    primary key (tenant_id, id)
) {with_rowid};
