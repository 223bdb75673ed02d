-- How far behind the mirror is: the leader says every ten seconds that it is at work, and what waits.
alter table mirror
    add column beat_at timestamptz,
    add column waiting bigint not null default 0;
