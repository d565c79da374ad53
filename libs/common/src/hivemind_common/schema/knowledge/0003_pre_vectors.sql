-- Vectors of snippets, for instances that want them: nothing of it is here before somebody asks for it, since the type comes
-- with pgvector, which not every Postgres has. Returns the schema of that type, or raises with what is missing.
CREATE FUNCTION knowledge.prepare_vectors() RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    home text;
BEGIN
    -- Several replicas start at once.
    PERFORM pg_catalog.pg_advisory_xact_lock(hashtextextended('knowledge.prepare_vectors', 0));
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'vector') THEN
        CREATE EXTENSION vector SCHEMA knowledge;
    END IF;
    SELECT extnamespace::regnamespace::text INTO home FROM pg_catalog.pg_extension WHERE extname = 'vector';
    IF to_regclass('knowledge.embedding') IS NULL THEN
        EXECUTE format($ddl$
            CREATE TABLE knowledge.embedding (
                bot_id uuid NOT NULL,
                id     uuid NOT NULL,
                vector %s.halfvec(384),
                CONSTRAINT embedding_pkey PRIMARY KEY (bot_id, id),
                CONSTRAINT embedding_snippet FOREIGN KEY (bot_id, id) REFERENCES knowledge.snippet ON DELETE CASCADE
            );
            COMMENT ON COLUMN knowledge.embedding.vector IS 'none: it is still to be made';
            CREATE INDEX embedding_pending ON knowledge.embedding (bot_id, id) WHERE vector IS NULL;
            GRANT SELECT, INSERT, UPDATE ON knowledge.embedding TO hivemind_knowledge;
        $ddl$, home);
        CREATE TRIGGER snippet_wants_vector AFTER INSERT OR UPDATE OF title, body ON knowledge.snippet
            FOR EACH ROW EXECUTE FUNCTION knowledge.want_vector();
        INSERT INTO knowledge.embedding (bot_id, id) SELECT bot_id, id FROM knowledge.snippet;
    END IF;
    RETURN home;
END $$;

-- A text that is new or changed has no vector until one is made of it.
CREATE FUNCTION knowledge.want_vector() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$
BEGIN
    INSERT INTO knowledge.embedding (bot_id, id) VALUES (NEW.bot_id, NEW.id)
    ON CONFLICT (bot_id, id) DO UPDATE SET vector = NULL;
    RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION knowledge.prepare_vectors() FROM PUBLIC;
REVOKE ALL ON FUNCTION knowledge.want_vector() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION knowledge.prepare_vectors() TO hivemind_knowledge;
