-- 0008_ceremonies.sql
create table ceremony_homes (
    tenant_id text not null,
    ceremony_id text not null,
    primary key (tenant_id, ceremony_id)
) {without_rowid};

create table ceremonies (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    state text not null,
    revision bigint not null,
    request text not null,
    digest text not null,
    requester_id text not null,
    created_at_ms bigint not null,
    state_since_ms bigint not null,
    deadline_ms bigint,
    not_before_ms bigint,
    steady_not_before_ms bigint,
    start_id text not null,
    artefact text not null,
    downloads bigint not null,
    reason text not null,
    primary key (tenant_id, id)
) {with_rowid};
create unique index ceremonies_one_active on ceremonies (tenant_id) where (state = 'downloaded' or state = 'eligibility_review' or state = 'preparing' or state = 'ready' or state = 'requirements_complete' or state = 'requirements_pending' or state = 'submitted' or state = 'waiting' or (state = 'expired' and artefact <> ''));
create index ceremonies_created_at_ms on ceremonies (tenant_id, created_at_ms);

create table ceremony_evidence (
    tenant_id text not null,
    id text not null,
    ceremony_id text not null,
    revision bigint not null,
    digest text not null,
    kind text not null,
    subject text not null,
    accepted_at_ms bigint not null,
    content bytea not null,
    details text not null,
    receipt text not null,
    voided_at_ms bigint,
    primary key (tenant_id, id)
) {with_rowid};
create unique index ceremony_evidence_once on ceremony_evidence (tenant_id, ceremony_id, kind, subject) where voided_at_ms is null;
create index ceremony_evidence_ceremony_id_accepted_at_ms on ceremony_evidence (tenant_id, ceremony_id, accepted_at_ms);

create table ceremony_challenges (
    tenant_id text not null,
    ceremony_id text not null,
    administrator_id text not null,
    decision text not null,
    nonce bytea not null,
    expires_at_ms bigint not null,
    primary key (tenant_id, ceremony_id, administrator_id, decision)
) {without_rowid};

create table ceremony_idempotency (
    tenant_id text not null,
    administrator_id text not null,
    key text not null,
    asked text not null,
    ceremony_id text not null,
    expires_at_ms bigint not null,
    primary key (tenant_id, administrator_id, key)
) {without_rowid};

create table ceremony_clocks (
    tenant_id text not null,
    start_id text not null,
    wall_ms bigint not null,
    steady_ms bigint not null,
    primary key (tenant_id, start_id)
) {without_rowid};

create table ceremony_freezes (
    tenant_id text not null,
    since_ms bigint not null,
    jump_ms bigint not null,
    primary key (tenant_id)
) {without_rowid};
