-- 0012_user_attribute_profiles.sql
create table user_attribute_profiles (
    tenant_id text not null,
    id text not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    document text not null,
    primary key (tenant_id, id)
) {with_rowid};
