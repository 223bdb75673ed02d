-- People who sign in with their organisation have no password here; accounts are managed, and what is
-- signed in ends when an account is closed or its password is set anew. A name is never given to somebody else.
alter table users
    alter column password_hash drop not null,
    add column issuer            text,                            -- OpenID Connect: who says who it is
    add column subject           text,                            -- and by which id
    add column groups            text[]      not null default '{}',  -- as that says, with our prefix
    add column must_change       boolean     not null default false, -- the password was chosen by somebody else
    add column valid_from        timestamptz,                     -- tokens that are older do not count
    add column last_signed_in_at timestamptz,
    add column deleted_at        timestamptz;
create unique index users_issuer_subject on users (issuer, subject);
