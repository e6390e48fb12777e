-- 0004_audit.sql
create table audit_keys (
    tenant_id text not null,
    kid text not null,
    public_key text not null,
    created_at_ms bigint not null,
    primary key (tenant_id, kid)
) {without_rowid};

create table audit_entries (
    tenant_id text not null,
    seq bigint not null,
    time_ms bigint not null,
    action text not null,
    actor_kind text not null,
    actor_id text not null,
    actor_email text not null,
    session_id text not null,
    mfa_at_ms bigint,
    ip text not null,
    ceremony_id text not null,
    digest text not null,
    details text not null,
    details_hash text not null,
    previous text not null,
    leaf text not null,
    primary key (tenant_id, seq)
) {with_rowid};
create index audit_entries_ceremony_id_seq on audit_entries (tenant_id, ceremony_id, seq) where ceremony_id <> '';

create table audit_checkpoints (
    tenant_id text not null,
    size bigint not null,
    root text not null,
    time_ms bigint not null,
    kid text not null,
    signature text not null,
    primary key (tenant_id, size)
) {without_rowid};

create table audit_heads (
    tenant_id text not null,
    size bigint not null,
    frontier text not null,
    last_leaf text not null,
    primary key (tenant_id)
) {without_rowid};

create table audit_witnessed (
    tenant_id text not null,
    size bigint not null,
    head_size bigint not null,
    primary key (tenant_id)
) {without_rowid};
