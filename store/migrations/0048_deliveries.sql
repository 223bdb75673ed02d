-- Notifications: what is to be told to whom, how often it was tried, and what came of it.
create table deliveries (
    id           uuid        primary key,
    event_id     text        not null,             -- outbox.id, also of one that is forgotten there
    type         text        not null,
    at           timestamptz not null,             -- when it happened
    namespace    text        not null,
    service      text        not null,
    subject      text        not null,
    target       text        not null,             -- webhook/SECRET, slack/SECRET: as spec.notify names it
    channel      jsonb       not null,             -- that entry of spec.notify
    data         jsonb       not null,
    state        text        not null default 'pending' check (state in ('pending', 'delivered', 'dead')),
    attempts     integer     not null default 0,
    next_at      timestamptz not null,
    last_error   text,
    created_at   timestamptz not null default now(),
    finished_at  timestamptz,
    unique (event_id, target)
);
create index on deliveries (next_at) where state = 'pending';
create index on deliveries (namespace, service, created_at desc);

-- How far the outbox was looked through.
create table notified (
    only_row boolean primary key default true check (only_row),
    seq      bigint  not null default 0
);
insert into notified default values;
