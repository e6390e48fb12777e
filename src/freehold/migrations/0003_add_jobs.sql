-- 0003_add_jobs.sql
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
