-- Deployments are looked for across Services, by who asked and how. The columns follow from the
-- object, so a version that does not know them writes them too.
alter table deployments
    add column requested_by text generated always as
        (coalesce(object #>> '{status,requestedBy,name}', object #>> '{metadata,annotations,fastdeploy.dev/requested-by}')) stored,
    add column via  text generated always as
        (coalesce(object #>> '{status,requestedBy,via}',
            case when object #>> '{metadata,annotations,fastdeploy.dev/requested-by}' is null
                or object #>> '{metadata,annotations,fastdeploy.dev/requested-via}' = 'Kubectl' then 'Kubectl' else 'Dashboard' end)) stored,
    add column mode text generated always as (coalesce(object #>> '{spec,mode}', 'Apply')) stored,
    -- Looks for drift: by the hour, so it has no place among what people did.
    add column is_drift_check boolean not null generated always as
        (coalesce(object #>> '{spec,mode}', 'Apply') = 'Check'
            and coalesce(object #>> '{status,requestedBy,via}' = 'Drift',
                object #>> '{metadata,annotations,fastdeploy.dev/trigger}' like 'drift:%', false)) stored;
create index on deployments (created_at desc, uid desc) where not is_drift_check;
create index on deployments (namespace, created_at desc, uid desc) where not is_drift_check;
create index on deployments (namespace, service, created_at desc, uid desc) where not is_drift_check;
create index on deployments (requested_by, created_at desc, uid desc);
create index on deployments (namespace, service, number);
create index on deployments (namespace, service) where finished_at is null and gone_at is null;
