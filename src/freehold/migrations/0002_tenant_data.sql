-- 0002_tenant_data.sql
create table vault (
    tenant_id text not null,
    kind text not null,
    owner text not null,
    name text not null,
    sealed bytea not null,
    primary key (tenant_id, kind, owner, name)
) {without_rowid};

create table tenants (
    tenant_id text not null,
    name text not null,
    domain text not null,
    management_client_id text not null,
    created_at bigint not null,
    primary key (tenant_id)
) {without_rowid};
create unique index tenants_name on tenants (name);
create unique index tenants_domain on tenants (domain);

create table data_keys (
    tenant_id text not null,
    wrapped bytea not null,
    created_at bigint not null,
    primary key (tenant_id)
) {without_rowid};

create table tenant_settings (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};

create table signing_keys (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};

create table logs (
    tenant_id text not null,
    log_id text not null,
    date_ms bigint not null,
    type text not null,
    client_id text,
    user_id text,
    record text not null,
    primary key (tenant_id, log_id)
) {with_rowid};
create index logs_user_id_log_id on logs (tenant_id, user_id, log_id) where user_id is not null;

create table clients (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    secrets bytea,
    ix_resource_server_identifier text,
    ix_external_client_id text,
    primary key (tenant_id, id)
) {with_rowid};
create index clients_ix_resource_server_identifier_id on clients (tenant_id, ix_resource_server_identifier, id);
create index clients_ix_external_client_id_id on clients (tenant_id, ix_external_client_id, id);

create table client_credentials (
    tenant_id text not null,
    id text not null,
    parent_id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    secrets bytea,
    primary key (tenant_id, id)
) {with_rowid};
create index client_credentials_parent_id_id on client_credentials (tenant_id, parent_id, id);

create table resource_servers (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    secrets bytea,
    ix_identifier text,
    primary key (tenant_id, id)
) {with_rowid};
create unique index resource_servers_ix_identifier on resource_servers (tenant_id, ix_identifier) where ix_identifier is not null;

create table client_grants (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    ix_audience text,
    ix_client_id text,
    ix_subject_type text,
    primary key (tenant_id, id)
) {with_rowid};
create unique index client_grants_ix_audience_ix_client_id_ix_subject_type on client_grants (tenant_id, ix_audience, ix_client_id, ix_subject_type) where ix_audience is not null;
create index client_grants_ix_client_id_id on client_grants (tenant_id, ix_client_id, id);
create index client_grants_ix_subject_type_id on client_grants (tenant_id, ix_subject_type, id);

create table roles (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    ix_name text,
    primary key (tenant_id, id)
) {with_rowid};
create unique index roles_ix_name on roles (tenant_id, ix_name) where ix_name is not null;

create table role_users (
    tenant_id text not null,
    left_id text not null,
    right_id text not null,
    created_at bigint not null,
    primary key (tenant_id, left_id, right_id)
) {without_rowid};
create index role_users_right_id_left_id on role_users (tenant_id, right_id, left_id);

create table role_permissions (
    tenant_id text not null,
    role_id text not null,
    resource_server_id text not null,
    permission text not null,
    created_at bigint not null,
    primary key (tenant_id, role_id, resource_server_id, permission)
) {without_rowid};
create index role_permissions_resource_server_id_permission on role_permissions (tenant_id, resource_server_id, permission);

create table user_permissions (
    tenant_id text not null,
    user_id text not null,
    resource_server_id text not null,
    permission text not null,
    created_at bigint not null,
    primary key (tenant_id, user_id, resource_server_id, permission)
) {without_rowid};
create index user_permissions_resource_server_id_permission on user_permissions (tenant_id, resource_server_id, permission);

create table consents (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    ix_clientID text,
    ix_user_id text,
    ix_audience text,
    primary key (tenant_id, id)
) {with_rowid};
create index consents_ix_clientID_id on consents (tenant_id, ix_clientID, id);
create index consents_ix_user_id_id on consents (tenant_id, ix_user_id, id);
create index consents_ix_audience_id on consents (tenant_id, ix_audience, id);

create table connections (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    secrets bytea,
    ix_name text,
    ix_strategy text,
    primary key (tenant_id, id)
) {with_rowid};
create unique index connections_ix_name on connections (tenant_id, ix_name) where ix_name is not null;
create index connections_ix_strategy_id on connections (tenant_id, ix_strategy, id);

create table connection_clients (
    tenant_id text not null,
    left_id text not null,
    right_id text not null,
    created_at bigint not null,
    primary key (tenant_id, left_id, right_id)
) {without_rowid};
create index connection_clients_right_id_left_id on connection_clients (tenant_id, right_id, left_id);

create table connection_keys (
    tenant_id text not null,
    id text not null,
    parent_id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};
create index connection_keys_parent_id_id on connection_keys (tenant_id, parent_id, id);

create table users (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    last_login text,
    last_ip text,
    logins_count bigint,
    ix_email text,
    ix_username text,
    ix_phone_number text,
    ix_connection text,
    ix_realm text,
    primary key (tenant_id, id)
) {with_rowid};
create unique index users_ix_email_ix_realm on users (tenant_id, ix_email, ix_realm) where ix_email is not null;
create unique index users_ix_username_ix_realm on users (tenant_id, ix_username, ix_realm) where ix_username is not null;
create unique index users_ix_phone_number_ix_realm on users (tenant_id, ix_phone_number, ix_realm) where ix_phone_number is not null;

create table linked_identities (
    tenant_id text not null,
    identity text not null,
    user_id text not null,
    realm text not null,
    email text,
    username text,
    phone_number text,
    primary key (tenant_id, identity)
) {without_rowid};
create index linked_identities_user_id on linked_identities (tenant_id, user_id);
create index linked_identities_email_realm on linked_identities (tenant_id, email, realm) where email is not null;
create index linked_identities_username_realm on linked_identities (tenant_id, username, realm) where username is not null;
create index linked_identities_phone_number_realm on linked_identities (tenant_id, phone_number, realm) where phone_number is not null;

create table sessions (
    tenant_id text not null,
    id text not null,
    token_hash text not null,
    user_id text not null,
    connection text not null,
    created_at_ms bigint not null,
    updated_at_ms bigint not null,
    authenticated_at_ms bigint not null,
    last_interacted_at_ms bigint not null,
    idle_expires_at_ms bigint not null,
    expires_at_ms bigint not null,
    persistent bigint not null,
    clients text not null,
    device text not null,
    methods text not null,
    metadata text,
    primary key (tenant_id, id)
) {without_rowid};
create unique index sessions_token_hash on sessions (tenant_id, token_hash);
create index sessions_user_id_id on sessions (tenant_id, user_id, id);

create table refresh_tokens (
    tenant_id text not null,
    id text not null,
    live text not null,
    previous text,
    generation bigint not null,
    rotated_at_ms bigint,
    user_id text not null,
    client_id text not null,
    session_id text,
    grant_id text,
    connection text not null,
    rotating bigint not null,
    created_at_ms bigint not null,
    last_exchanged_at_ms bigint,
    idle_expires_at_ms bigint,
    expires_at_ms bigint,
    resource_servers text not null,
    context text not null,
    device text not null,
    metadata text,
    primary key (tenant_id, id)
) {without_rowid};
create index refresh_tokens_user_id_id on refresh_tokens (tenant_id, user_id, id);

create table revoked_grants (
    tenant_id text not null,
    grant_id text not null,
    expires_at_ms bigint not null,
    primary key (tenant_id, grant_id)
) {without_rowid};

create table authorization_codes (
    tenant_id text not null,
    code_hash text not null,
    client_id text not null,
    user_id text not null,
    grant_id text not null,
    payload text not null,
    expires_at_ms bigint not null,
    consumed_at_ms bigint,
    access_token_hash text,
    primary key (tenant_id, code_hash)
) {without_rowid};

create table login_transactions (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    payload text not null,
    expires_at_ms bigint not null,
    primary key (tenant_id, id)
) {without_rowid};

create table device_credentials (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    ix_user_id text,
    primary key (tenant_id, id)
) {with_rowid};
create index device_credentials_ix_user_id_id on device_credentials (tenant_id, ix_user_id, id);

create table tickets (
    tenant_id text not null,
    value_hash text not null,
    kind text not null,
    user_id text not null,
    payload text not null,
    expires_at_ms bigint not null,
    used_at_ms bigint,
    primary key (tenant_id, value_hash)
) {without_rowid};
create index tickets_user_id_value_hash on tickets (tenant_id, user_id, value_hash);

create table attempts (
    tenant_id text not null,
    purpose text not null,
    subject text not null,
    ip text not null,
    count bigint not null,
    noted_at_ms bigint,
    expires_at_ms bigint not null,
    primary key (tenant_id, purpose, subject, ip)
) {without_rowid};
create index attempts_subject on attempts (tenant_id, subject);

create table mails (
    tenant_id text not null,
    id text not null,
    sent_at_ms bigint not null,
    recipient text not null,
    template text not null,
    subject text not null,
    html text not null,
    body text not null,
    primary key (tenant_id, id)
) {without_rowid};

create table jobs (
    tenant_id text not null,
    id text not null,
    type text not null,
    status text not null,
    created_at_ms bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {without_rowid};

create table job_files (
    tenant_id text not null,
    job_id text not null,
    name text not null,
    number bigint not null,
    content bytea not null,
    primary key (tenant_id, job_id, name, number)
) {with_rowid};

create table used_assertions (
    tenant_id text not null,
    client_id text not null,
    jti text not null,
    expires_at_ms bigint not null,
    primary key (tenant_id, client_id, jti)
) {without_rowid};
