-- What has happened, by the names of the catalogue (crds/src/events.rs), for whoever tells it further:
-- notifications, the audit log, followers of the stream. Numbered in the order of the commits, like changes.
create table outbox (
    seq       bigint      primary key,
    id        text        not null unique,         -- of what happened: the same once only
    at        timestamptz not null,                -- when it happened, as far as is known
    stored_at timestamptz not null default now(),
    type      text        not null,                -- deployment.started
    namespace text        not null,                -- empty where it is about none
    service   text        not null,
    subject   text        not null,                -- the object or account that it is about
    actor     text        not null,                -- who did it; empty where that is not known
    data      jsonb       not null
);
create index on outbox (stored_at);

alter table stream
    add column events bigint      not null default 0,      -- last number of the outbox
    add column since  timestamptz not null default now();  -- what is older is no news, when it is seen for the first time
