-- The audit log: who did what, when, from where, with which result. Rows are added and never changed;
-- what is too old goes as a whole partition (a month).
create table activity (
    id          bigint      generated always as identity,
    at          timestamptz not null default now(),
    happened_at timestamptz,                       -- of what was seen later than it happened
    kind        text        not null check (kind in ('event', 'request')),
    what        text        not null,              -- deployment.started; of a request its operation
    actor       text        not null,              -- empty: somebody with kubectl, or nobody
    address     text        not null default '',   -- where the request came from, as far as is known
    agent       text        not null default '',
    request_id  text        not null default '',
    namespace   text        not null,
    service     text        not null,
    subject     text        not null,
    status      integer,                           -- of a request's answer
    data        jsonb       not null,
    primary key (at, id)
) partition by range (at);
create index on activity (id desc);
create index on activity (namespace, id desc);
create index on activity (actor, id desc);
-- Takes what no month takes, so that nothing that happens fails for want of one.
create table activity_rest partition of activity default;

create function activity_is_for_ever() returns trigger language plpgsql as $$
begin
    raise exception 'activity is append-only: what was written down stays until its month is dropped';
end $$;
create trigger append_only before update or delete on activity for each row execute function activity_is_for_ever();
