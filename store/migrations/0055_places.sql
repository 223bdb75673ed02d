-- Where Services and Deployments are. Each namespace costs a few looks into an index, however many objects it has:
-- whoever may not see all of them asks this with each list.
create function places() returns text[] language sql stable as $$
    with recursive place (namespace) as (
        select least((select min(namespace) from services), (select min(namespace) from deployments))
        union all
        select least((select min(s.namespace) from services s where s.namespace > place.namespace),
            (select min(d.namespace) from deployments d where d.namespace > place.namespace))
        from place where place.namespace is not null
    )
    select coalesce(array_agg(namespace), '{}') from place where namespace is not null
$$;
