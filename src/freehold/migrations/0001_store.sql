-- 0001_store.sql
create table cache_epochs (
    tenant_id text not null,
    epoch bigint not null,
    primary key (tenant_id)
) {without_rowid};

create table work_queue (
    tenant_id text not null,
    id text not null,
    topic text not null,
    payload bytea not null,
    state text not null,
    due_ms bigint not null,
    lease text,
    attempts bigint not null,
    last_error text,
    enqueued_at_ms bigint not null,
    primary key (tenant_id, id)
) {with_rowid};
create index work_queue_state_due_ms on work_queue (state, due_ms);

create table work_schedule (
    name text not null,
    next_ms bigint not null,
    last_started_at_ms bigint,
    primary key (name)
) {without_rowid};
