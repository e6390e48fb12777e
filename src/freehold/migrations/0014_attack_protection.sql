-- 0014_attack_protection.sql
create table brute_force_protection (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};

create table suspicious_ip_throttling (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};

create table breached_password_detection (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};

create table bot_detection (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};
