-- 0005_authenticators.sql
create table authenticators (
    tenant_id text not null,
    user_id text not null,
    slot text not null,
    id text not null,
    name text,
    created_at_ms bigint not null,
    enrolled_at_ms bigint,
    last_auth_at_ms bigint,
    last_step bigint,
    expires_at_ms bigint,
    primary key (tenant_id, user_id, slot)
) {without_rowid};
create unique index authenticators_id on authenticators (tenant_id, id);

create table remembered_browsers (
    tenant_id text not null,
    user_id text not null,
    value_hash text not null,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    primary key (tenant_id, user_id, value_hash)
) {without_rowid};

create table guardian (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    secrets bytea,
    primary key (tenant_id, id)
) {with_rowid};
