-- What operators set on a bot by SQL is in the audit log; what a service sets, the service has recorded itself.
-- The login counts, not the current role: inside a SECURITY DEFINER function that one is always the owner.
CREATE FUNCTION bots.record_sql_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM audit.record_sql('bot.updated', NEW.id::text, jsonb_build_object(
        'slug', NEW.slug, 'changed', audit.changes(to_jsonb(OLD), to_jsonb(NEW))));
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION bots.record_sql_change() FROM PUBLIC;

CREATE TRIGGER bot_changed_by_sql AFTER UPDATE ON bots.bot
    FOR EACH ROW WHEN (OLD IS DISTINCT FROM NEW AND session_user NOT IN ('hivemind_bots', 'hivemind_knowledge'))
    EXECUTE FUNCTION bots.record_sql_change();
