-- The last commits of what Services follow, as the operator last read them: to choose one from.
create table commits (
    repository   text        not null,             -- crds::source::Git::repository
    reference    text        not null,             -- crds::source::Git::followed
    ordinal      smallint    not null,             -- 0 is the newest
    commit_id    text        not null,
    subject      text        not null,
    author       text        not null,
    committed_at timestamptz not null,
    primary key (repository, reference, ordinal)
);
