-- Branches and tags, as the operator last saw them.
create table refs (
    repository text not null,                      -- crds::source::Git::repository
    kind       text not null check (kind in ('branch', 'tag')),
    name       text not null,
    commit_id  text not null,
    primary key (repository, kind, name)
);
