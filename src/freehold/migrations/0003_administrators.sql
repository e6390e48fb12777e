-- 0003_administrators.sql
create table administrators (
    tenant_id text not null,
    id text not null,
    email text not null,
    email_key text not null,
    name text not null,
    role text not null,
    blocked bigint not null,
    created_at_ms bigint not null,
    created_by text not null,
    totp_since_ms bigint,
    totp_last_step bigint,
    recovery_since_ms bigint,
    reset_at_ms bigint,
    reset_by text,
    password_changed_at_ms bigint not null,
    last_sign_in_at_ms bigint,
    primary key (tenant_id, id)
) {without_rowid};
create unique index administrators_email_key on administrators (tenant_id, email_key);

create table administrator_passkeys (
    tenant_id text not null,
    credential_id text not null,
    administrator_id text not null,
    name text not null,
    public_key text not null,
    sign_count bigint not null,
    transports text not null,
    aaguid text not null,
    created_at_ms bigint not null,
    last_used_at_ms bigint,
    primary key (tenant_id, credential_id)
) {without_rowid};
create index administrator_passkeys_administrator_id_credential_id on administrator_passkeys (tenant_id, administrator_id, credential_id);

create table administrator_links (
    tenant_id text not null,
    id text not null,
    value_hash text not null,
    kind text not null,
    administrator_id text,
    email text not null,
    email_key text not null,
    role text not null,
    issued_by text not null,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    used_at_ms bigint,
    primary key (tenant_id, id)
) {without_rowid};
create unique index administrator_links_value_hash on administrator_links (tenant_id, value_hash);
create index administrator_links_email_key_id on administrator_links (tenant_id, email_key, id);

create table administrator_sessions (
    tenant_id text not null,
    id text not null,
    token_hash text not null,
    administrator_id text not null,
    via text not null,
    amr text not null,
    created_at_ms bigint not null,
    authenticated_at_ms bigint not null,
    mfa_at_ms bigint,
    last_seen_at_ms bigint not null,
    idle_expires_at_ms bigint not null,
    expires_at_ms bigint not null,
    ip text not null,
    user_agent text not null,
    primary key (tenant_id, id)
) {without_rowid};
create unique index administrator_sessions_token_hash on administrator_sessions (tenant_id, token_hash);
create index administrator_sessions_administrator_id_id on administrator_sessions (tenant_id, administrator_id, id);

create table administrator_challenges (
    tenant_id text not null,
    value_hash text not null,
    purpose text not null,
    bound_to text not null,
    administrator_id text,
    payload text not null,
    expires_at_ms bigint not null,
    primary key (tenant_id, value_hash)
) {without_rowid};

create table administrator_devices (
    tenant_id text not null,
    administrator_id text not null,
    device_hash text not null,
    first_seen_at_ms bigint not null,
    expires_at_ms bigint not null,
    primary key (tenant_id, administrator_id, device_hash)
) {without_rowid};
