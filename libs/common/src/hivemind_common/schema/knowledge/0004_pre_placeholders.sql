-- What is to be filled in: names in double braces, as templates have them in their starter snippets.
CREATE FUNCTION knowledge.placeholders_of(text text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog
    RETURN (SELECT coalesce(array_agg(DISTINCT found[1] ORDER BY found[1]), '{}')
              FROM pg_catalog.regexp_matches(text, '\{\{([a-z][a-z0-9_]{0,39})\}\}', 'g') AS found);

-- Only starter snippets have any, so those of a bot are few, and the index has no others.
CREATE INDEX snippet_placeholders ON knowledge.snippet (bot_id)
    WHERE strpos(title, '{{') > 0 OR strpos(body, '{{') > 0;

CREATE FUNCTION knowledge.count_placeholders() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$
DECLARE
    touched uuid;
BEGIN
    FOR touched IN SELECT DISTINCT bot_id FROM these WHERE strpos(title, '{{') > 0 OR strpos(body, '{{') > 0 LOOP
        PERFORM bots.note_placeholders(touched, (
            SELECT coalesce(array_agg(DISTINCT name ORDER BY name), '{}')
              FROM knowledge.snippet, pg_catalog.unnest(knowledge.placeholders_of(title || ' ' || body)) AS name
             WHERE bot_id = touched AND (strpos(title, '{{') > 0 OR strpos(body, '{{') > 0)));
    END LOOP;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION knowledge.count_placeholders() FROM PUBLIC;
CREATE TRIGGER snippet_placeholders_added AFTER INSERT ON knowledge.snippet
    REFERENCING NEW TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_placeholders();
CREATE TRIGGER snippet_placeholders_removed AFTER DELETE ON knowledge.snippet
    REFERENCING OLD TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_placeholders();
CREATE TRIGGER snippet_placeholders_old AFTER UPDATE ON knowledge.snippet
    REFERENCING OLD TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_placeholders();
CREATE TRIGGER snippet_placeholders_new AFTER UPDATE ON knowledge.snippet
    REFERENCING NEW TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_placeholders();
