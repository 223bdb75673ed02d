-- How long steps took in runs that succeeded, of the last runs of each Service: what is expected of the
-- next one. Lost with the database, and learned again.
create table step_durations (
    namespace text        not null,
    service   text        not null,
    uid       uuid        not null,                -- of the Deployment
    key       text        not null,                -- file:line#n
    place     integer     not null,                -- in the order of that run
    seconds   real        not null,
    at        timestamptz not null default now(),
    primary key (namespace, service, uid, key)
);
