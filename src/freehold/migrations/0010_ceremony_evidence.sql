-- 0010_ceremony_evidence.sql
create table executives (
    tenant_id text not null,
    id text not null,
    name text not null,
    title text not null,
    email text not null,
    email_key text not null,
    certificates text not null,
    openpgp_key text not null,
    openpgp_fingerprint text not null,
    passkeys text not null,
    enrolled_at_ms bigint not null,
    enrolled_by text not null,
    changed_at_ms bigint not null,
    changed_by text not null,
    primary key (tenant_id, id)
) {without_rowid};
create unique index executives_email_key on executives (tenant_id, email_key);

create table trust_anchors (
    tenant_id text not null,
    id text not null,
    name text not null,
    fingerprint text not null,
    certificate text not null,
    crls text not null,
    enrolled_at_ms bigint not null,
    enrolled_by text not null,
    primary key (tenant_id, id)
) {without_rowid};
create unique index trust_anchors_fingerprint on trust_anchors (tenant_id, fingerprint);

create table executive_links (
    tenant_id text not null,
    value_hash text not null,
    purpose text not null,
    executive_id text not null,
    ceremony_id text not null,
    digest text not null,
    issued_by text not null,
    expires_at_ms bigint not null,
    used_at_ms bigint,
    primary key (tenant_id, value_hash)
) {without_rowid};
