-- Runs that somebody watches as they go, at any replica: what happens in them is wanted at once.
-- Not logged: whoever watches says so again within the minute.
create unlogged table followed (
    uid   uuid        primary key,                 -- of the Deployment
    until timestamptz not null
);
