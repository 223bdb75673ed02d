-- Everything that the first version keeps. Kubernetes is the truth: what is lost here is history,
-- output and sign-ins, never a run. Keys are Kubernetes uids; the bigint identities are for old clients.

-- People with an account of their own (no organisation's sign-in).
create table users (
    id            bigint generated always as identity primary key,
    name          text        not null unique,
    password_hash text        not null,            -- argon2id, PHC string
    admin         boolean     not null default false,
    created_at    timestamptz not null default now(),
    disabled_at   timestamptz
);

-- A browser that is signed in. Each refresh replaces the token; a replaced one that is shown again
-- ends the whole family: somebody has copied it.
create table sessions (
    token_hash  bytea       primary key,           -- SHA-256 of the refresh token
    family      uuid        not null,
    user_id     bigint      not null references users on delete cascade,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null,
    replaced_at timestamptz
);
create index on sessions (family);
create index on sessions (user_id);

-- The stream of changes: its epoch (another database is another epoch) and its last number. Whoever
-- numbers holds this row until the commit, so numbers appear in the order of the commits.
create table stream (
    only_row boolean primary key default true check (only_row),
    epoch    uuid    not null default gen_random_uuid(),
    last     bigint  not null default 0,
    pruned   bigint  not null default 0            -- numbers up to this one are gone
);
insert into stream default values;

create table changes (
    seq       bigint      primary key,
    at        timestamptz not null default now(),
    kind      text        not null,                -- Service, Deployment
    uid       uuid        not null,
    namespace text        not null,
    service   text        not null                 -- its own name, or the Service of a Deployment
);
create index on changes (at);

-- The mirror's epoch: each leader's first full list opens one and replaces what older ones wrote.
create table mirror (
    only_row boolean primary key default true check (only_row),
    epoch    bigint  not null default 0
);
insert into mirror default values;

-- Services as they were last seen, without what nobody needs to see (source, variables, inventory).
create table services (
    uid              uuid        primary key,
    id               bigint      generated always as identity unique,
    namespace        text        not null,
    name             text        not null,
    epoch            bigint      not null,
    resource_version bigint      not null,
    object           jsonb       not null,
    gone_at          timestamptz
);
create index on services (namespace, name);

create table deployments (
    uid              uuid        primary key,
    id               bigint      generated always as identity unique,
    namespace        text        not null,
    name             text        not null,
    service          text        not null,
    number           bigint,
    phase            text,
    created_at       timestamptz not null,
    finished_at      timestamptz,
    epoch            bigint      not null,
    resource_version bigint      not null,
    object           jsonb       not null,
    gone_at          timestamptz                   -- no longer in Kubernetes; kept here as history
);
create index on deployments (namespace, service, created_at desc, uid desc);
create index on deployments (namespace, name);

-- The frozen input of runs, by digest: what a rollback repeats when Kubernetes has forgotten it.
create table bundles (
    digest     text        primary key,
    content    bytea       not null,               -- canonical JSON, zstd
    created_at timestamptz not null default now()
);

-- One attempt of a run, as its reports came. No foreign key to deployments: reports may be first.
create table runs (
    uid       uuid        not null,
    attempt   integer     not null,
    instance  text        not null,                -- the runner that may report
    namespace text        not null,
    day       date        not null,                -- chooses the partitions, for ever: a resend stays a duplicate
    acked     bigint      not null default 0,      -- the highest event that is stored
    lines     bigint      not null default 0,      -- the last line of output that is stored
    sealed_at timestamptz,                         -- the last event was stored: nothing more is taken
    updated_at timestamptz not null default now(),
    primary key (uid, attempt)
);
create index on runs (sealed_at);                  -- results that a crash kept from status.run

-- Events that were lost with an earlier database.
create table run_gaps (
    uid       uuid    not null,
    attempt   integer not null,
    first_seq bigint  not null,
    last_seq  bigint  not null,
    primary key (uid, attempt, first_seq)
);

-- Results, one row each. Output is not here, but each of its events leaves a row without body, so
-- that a reader sees every number.
create table run_events (
    day     date        not null,
    uid     uuid        not null,
    attempt integer     not null,
    seq     bigint      not null,
    at      timestamptz not null,
    body    jsonb       not null,                  -- protocol::event::Kind; of output: first line and count
    primary key (day, uid, attempt, seq)
) partition by range (day);

-- Output, in zstd chunks of at most 64 kB of text.
create table run_output (
    day        date    not null,
    uid        uuid    not null,
    attempt    integer not null,
    first_line bigint  not null,
    lines      integer not null,
    content    bytea   not null,
    primary key (day, uid, attempt, first_line)
) partition by range (day);
