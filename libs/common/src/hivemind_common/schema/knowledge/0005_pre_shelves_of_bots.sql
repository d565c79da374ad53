-- For bots: what a bot knows, and a change of it, in the transaction that mints, clones or applies the bot.
CREATE FUNCTION knowledge.snippets_of(of_bot uuid)
    RETURNS TABLE (id uuid, title text, body text, tags text[], source text, language text, language_given boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT known.id, known.title, known.body, known.tags, known.source, coalesce(known.language, 'en'),
               known.language_given AND known.language IS NOT NULL
          FROM knowledge.snippet AS known WHERE known.bot_id = of_bot ORDER BY known.id;
    END;

-- Whoever teaches locks what a bot knows, and then the bot, to count it: who wants both begins here.
CREATE FUNCTION knowledge.hold_shelf(of_bot uuid) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        INSERT INTO knowledge.corpus AS corpus (bot_id, version, snippet_count, languages)
        VALUES (of_bot, 1, 0, '{}')
        ON CONFLICT (bot_id) DO UPDATE SET version = corpus.version;
    END;

CREATE FUNCTION knowledge.change_snippets(
    of_bot uuid, removed uuid[], kept jsonb, moment timestamptz, changed_by text
) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    now_at bigint;
    spoken text;
BEGIN
    IF jsonb_array_length(kept) + cardinality(removed) = 0 THEN
        RETURN;
    END IF;
    -- The corpus is locked here, so what is counted below stays true.
    PERFORM knowledge.hold_shelf(of_bot);
    FOR spoken IN SELECT DISTINCT one ->> 'language' FROM pg_catalog.jsonb_array_elements(kept) AS one LOOP
        PERFORM knowledge.raise_version(of_bot, 0, spoken);
    END LOOP;
    SELECT knowledge.raise_version(of_bot, (
        SELECT count(*) FILTER (WHERE NOT EXISTS (
                   SELECT FROM knowledge.snippet WHERE bot_id = of_bot AND id = (one ->> 'id')::uuid))
          FROM pg_catalog.jsonb_array_elements(kept) AS one)::integer - (
        SELECT count(*) FROM knowledge.snippet WHERE bot_id = of_bot AND id = ANY (removed))::integer, kept -> 0 ->> 'language')
      INTO now_at;
    INSERT INTO knowledge.tombstone (bot_id, id, corpus_version, removed_at)
    SELECT of_bot, id, now_at, moment FROM knowledge.snippet WHERE bot_id = of_bot AND id = ANY (removed);
    DELETE FROM knowledge.snippet WHERE bot_id = of_bot AND id = ANY (removed);
    INSERT INTO knowledge.snippet AS snippet
           (bot_id, id, title, body, tags, source, language, language_given, corpus_version, created_at, updated_at, changed_by)
    SELECT of_bot, one.id, one.title, one.body, one.tags, one.source, one.language, one.language_given, now_at,
           moment, moment, change_snippets.changed_by
      FROM pg_catalog.jsonb_to_recordset(kept) AS one
           (id uuid, title text, body text, tags text[], source text, language text, language_given boolean)
        ON CONFLICT (bot_id, id) DO UPDATE
       SET title = excluded.title, body = excluded.body, tags = excluded.tags, source = excluded.source,
           language = excluded.language, language_given = excluded.language_given,
           corpus_version = excluded.corpus_version, updated_at = greatest(excluded.updated_at, snippet.updated_at),
           changed_by = excluded.changed_by;
END $$;
REVOKE ALL ON FUNCTION knowledge.snippets_of(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION knowledge.hold_shelf(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION knowledge.change_snippets(uuid, uuid[], jsonb, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION knowledge.snippets_of(uuid) TO hivemind_bots;
GRANT EXECUTE ON FUNCTION knowledge.hold_shelf(uuid) TO hivemind_bots;
GRANT EXECUTE ON FUNCTION knowledge.change_snippets(uuid, uuid[], jsonb, timestamptz, text) TO hivemind_bots;
