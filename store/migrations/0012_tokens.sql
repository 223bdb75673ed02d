-- Tokens for programs. The token itself is shown once; here is its SHA-256.
create table tokens (
    id           uuid        primary key,
    kind         text        not null check (kind in ('service', 'federated')),
    hash         bytea       not null,
    name         text        not null,
    namespace    text        not null,
    service      text        not null,
    verbs        text[]      not null,
    created_by   text        not null,
    created_at   timestamptz not null,
    expires_at   timestamptz not null,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    revoked_by   text
);
create index on tokens (namespace, service);
create index on tokens (expires_at);
