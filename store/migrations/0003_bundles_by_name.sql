-- A bundle holds the inputs too, its digest does not: two runs of one digest may have two bundles.
-- What is still in the cluster is archived again by itself.
drop table bundles;
create table bundles (
    name       text        primary key,            -- of its ConfigMap: a hash over the content
    digest     text        not null,
    content    bytea       not null,               -- canonical JSON, zstd
    created_at timestamptz not null default now()
);
