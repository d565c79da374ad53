-- A bot that an operator deletes by SQL takes all it knew and said along; that it was there stays in the audit log.
CREATE FUNCTION bots.record_sql_deletion() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM audit.record_sql('bot.deleted', OLD.id::text, jsonb_build_object('slug', OLD.slug));
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION bots.record_sql_deletion() FROM PUBLIC;

CREATE TRIGGER bot_deleted_by_sql AFTER DELETE ON bots.bot
    FOR EACH ROW WHEN (session_user <> 'hivemind_bots')
    EXECUTE FUNCTION bots.record_sql_deletion();
