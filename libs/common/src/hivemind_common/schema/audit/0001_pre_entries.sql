-- Who did what, when, from where: a row of this table stands in the transaction of the act itself.
CREATE TABLE audit.entry (
    seq        bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    id         uuid        NOT NULL DEFAULT meta.new_id(),
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor_kind text        NOT NULL,
    actor_id   uuid,
    actor_name text        NOT NULL,
    action     text        NOT NULL,
    target     text        NOT NULL,
    outcome    text        NOT NULL,
    address    text,
    request_id text,
    details    jsonb       NOT NULL,
    written_by text        NOT NULL DEFAULT session_user,
    CONSTRAINT entry_pkey PRIMARY KEY (id),
    CONSTRAINT entry_seq UNIQUE (seq),
    CONSTRAINT entry_actor_kind CHECK (actor_kind IN (
        'user', 'key', 'break_glass', 'anonymous', 'channel_member', 'service', 'sql')),
    CONSTRAINT entry_action CHECK (action ~ '^[a-z][a-z_]*\.[a-z][a-z_]*$'),
    CONSTRAINT entry_outcome CHECK (outcome IN ('ok', 'refused')),
    CONSTRAINT entry_details CHECK (jsonb_typeof(details) = 'object')
);
COMMENT ON COLUMN audit.entry.seq IS 'the order of writing; what is rolled back leaves a gap';
COMMENT ON COLUMN audit.entry.actor_kind IS 'a kind of principal, or sql: a statement under a role of the database';
COMMENT ON COLUMN audit.entry.written_by IS 'the role that was logged in, as the database knows it: no service can speak for another';

-- Nobody changes an entry, the owner included: a slip of the hand is refused. Keeping only so much of the log, once that
-- comes, gets a function of its own and an exception here.
CREATE FUNCTION audit.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are neither changed nor deleted' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER entry_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.entry ENABLE ALWAYS TRIGGER entry_stays;

-- The one way in, for every service: the row belongs to the caller's transaction and comes or goes with it.
CREATE FUNCTION audit.record(
    kind text, who uuid, name text, what text, on_what text, came_out text, from_address text, request text, more jsonb
) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        INSERT INTO audit.entry (actor_kind, actor_id, actor_name, action, target, outcome, address, request_id, details)
        VALUES (kind, who, name, what, on_what, came_out, from_address, request, more);
    END;

-- The same for what an operator does by SQL: the actor is whoever is logged in, whatever role the statement runs under.
CREATE FUNCTION audit.record_sql(what text, on_what text, more jsonb) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT audit.record('sql', NULL, session_user::text, what, on_what, 'ok', host(inet_client_addr()), NULL, more);
    END;

-- Which columns a row was changed in: the old and the new value of each.
CREATE FUNCTION audit.changes(was jsonb, becomes jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_object_agg(one.key, jsonb_build_array(one.value, other.value))
          FROM jsonb_each(was) AS one JOIN jsonb_each(becomes) AS other USING (key)
         WHERE one.value <> other.value;
    END;

GRANT USAGE ON SCHEMA audit TO hivemind_auth, hivemind_bots, hivemind_knowledge;
GRANT SELECT ON audit.entry TO hivemind_auth;
REVOKE ALL ON FUNCTION audit.refuse_change() FROM PUBLIC;
REVOKE ALL ON FUNCTION audit.record(text, uuid, text, text, text, text, text, text, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit.record_sql(text, text, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit.changes(jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.record(text, uuid, text, text, text, text, text, text, jsonb)
    TO hivemind_auth, hivemind_bots, hivemind_knowledge;
