-- 0007_exports.sql
create table ceremony_artefacts (
    tenant_id text not null,
    id text not null,
    ceremony_id text not null,
    digest text not null,
    requester_id text not null,
    place text not null,
    state text not null,
    size bigint not null,
    sealed_size bigint not null,
    sha256 text not null,
    recipients text not null,
    counts text not null,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    seen_ms bigint not null,
    elapsed_ms bigint not null,
    boot_id text not null,
    boot_ms bigint not null,
    download_limit bigint not null,
    ends_with_download bigint not null,
    downloads bigint not null,
    sent_bytes bigint not null,
    destroyed_at_ms bigint,
    destroyed_because text,
    traces bigint not null,
    unrecorded bigint not null,
    primary key (tenant_id, id)
) {with_rowid};
create index ceremony_artefacts_ceremony_id on ceremony_artefacts (tenant_id, ceremony_id);

create table ceremony_artefact_keys (
    tenant_id text not null,
    artefact_id text not null,
    wrapped bytea not null,
    primary key (tenant_id, artefact_id)
) {with_rowid};

create table download_tickets (
    tenant_id text not null,
    value_hash text not null,
    artefact_id text not null,
    administrator_id text not null,
    session_id text not null,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    opened_at_ms bigint,
    primary key (tenant_id, value_hash)
) {without_rowid};
create index download_tickets_artefact_id on download_tickets (tenant_id, artefact_id);
