-- Postgres is the text engine. Our own configurations stem but drop nothing: how little a stop word counts is the
-- ranking's matter, so a change of mind there needs no snippet to be lexed anew.
DO $$
DECLARE
    language text;
BEGIN
    FOREACH language IN ARRAY ARRAY['danish', 'dutch', 'english', 'finnish', 'french', 'german', 'italian',
                                    'norwegian', 'portuguese', 'russian', 'spanish', 'swedish'] LOOP
        EXECUTE format('CREATE TEXT SEARCH DICTIONARY knowledge.%I (TEMPLATE = pg_catalog.snowball, LANGUAGE = %I)',
                       language || '_stem', language);
        EXECUTE format('CREATE TEXT SEARCH CONFIGURATION knowledge.%1$I (COPY = pg_catalog.%1$I)', language);
        EXECUTE format('ALTER TEXT SEARCH CONFIGURATION knowledge.%I ALTER MAPPING REPLACE pg_catalog.%I WITH knowledge.%I',
                       language, language || '_stem', language || '_stem');
    END LOOP;
END $$;

-- The configuration that a language code names. A snippet whose language nobody has said is taken for English.
CREATE FUNCTION knowledge.configuration_of(language text) RETURNS regconfig
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE coalesce(language, 'en')
        WHEN 'da' THEN 'knowledge.danish'::regconfig
        WHEN 'de' THEN 'knowledge.german'::regconfig
        WHEN 'en' THEN 'knowledge.english'::regconfig
        WHEN 'es' THEN 'knowledge.spanish'::regconfig
        WHEN 'fi' THEN 'knowledge.finnish'::regconfig
        WHEN 'fr' THEN 'knowledge.french'::regconfig
        WHEN 'it' THEN 'knowledge.italian'::regconfig
        WHEN 'nl' THEN 'knowledge.dutch'::regconfig
        WHEN 'no' THEN 'knowledge.norwegian'::regconfig
        WHEN 'pt' THEN 'knowledge.portuguese'::regconfig
        WHEN 'ru' THEN 'knowledge.russian'::regconfig
        WHEN 'sv' THEN 'knowledge.swedish'::regconfig
        ELSE 'pg_catalog.simple'::regconfig
    END;

-- The same language with its stop list: what it drops are the short words that all texts share.
CREATE FUNCTION knowledge.stopping_configuration_of(language text) RETURNS regconfig
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE coalesce(language, 'en')
        WHEN 'da' THEN 'pg_catalog.danish'::regconfig
        WHEN 'de' THEN 'pg_catalog.german'::regconfig
        WHEN 'en' THEN 'pg_catalog.english'::regconfig
        WHEN 'es' THEN 'pg_catalog.spanish'::regconfig
        WHEN 'fi' THEN 'pg_catalog.finnish'::regconfig
        WHEN 'fr' THEN 'pg_catalog.french'::regconfig
        WHEN 'it' THEN 'pg_catalog.italian'::regconfig
        WHEN 'nl' THEN 'pg_catalog.dutch'::regconfig
        WHEN 'no' THEN 'pg_catalog.norwegian'::regconfig
        WHEN 'pt' THEN 'pg_catalog.portuguese'::regconfig
        WHEN 'ru' THEN 'pg_catalog.russian'::regconfig
        WHEN 'sv' THEN 'pg_catalog.swedish'::regconfig
        ELSE 'pg_catalog.simple'::regconfig
    END;

-- One row per bot that was ever taught: its version rises with every write, under this row's lock, held to commit.
CREATE TABLE knowledge.corpus (
    bot_id        uuid    NOT NULL,
    version       bigint  NOT NULL,
    snippet_count integer NOT NULL,
    languages     text[]  NOT NULL,
    CONSTRAINT corpus_pkey PRIMARY KEY (bot_id),
    CONSTRAINT corpus_bot FOREIGN KEY (bot_id) REFERENCES bots.bot ON DELETE CASCADE,
    CONSTRAINT corpus_snippet_count CHECK (snippet_count >= 0)
);
COMMENT ON COLUMN knowledge.corpus.languages IS 'of the snippets there are or were: a question is asked in each of them';

CREATE TABLE knowledge.snippet (
    bot_id         uuid        NOT NULL,
    id             uuid        NOT NULL,
    title          text        NOT NULL,
    body           text        NOT NULL,
    tags           text[]      NOT NULL,
    source         text,
    language       text,
    corpus_version bigint      NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    lexemes        tsvector    NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector(knowledge.configuration_of(language), title), 'A')
        || setweight(to_tsvector(knowledge.configuration_of(language), body), 'D')
    ) STORED,
    CONSTRAINT snippet_pkey PRIMARY KEY (bot_id, id),
    CONSTRAINT snippet_corpus FOREIGN KEY (bot_id) REFERENCES knowledge.corpus ON DELETE CASCADE
);
CREATE INDEX snippet_changed ON knowledge.snippet (bot_id, corpus_version);

-- What was deleted, until every index that is kept in memory has seen it.
CREATE TABLE knowledge.tombstone (
    bot_id         uuid        NOT NULL,
    id             uuid        NOT NULL,
    corpus_version bigint      NOT NULL,
    removed_at     timestamptz NOT NULL,
    CONSTRAINT tombstone_pkey PRIMARY KEY (bot_id, id),
    CONSTRAINT tombstone_corpus FOREIGN KEY (bot_id) REFERENCES knowledge.corpus ON DELETE CASCADE
);
CREATE INDEX tombstone_changed ON knowledge.tombstone (bot_id, corpus_version);

-- An index scoped to the bot: each entry is the hash of a bot and a lexeme, so that what other bots know costs nothing.
CREATE FUNCTION knowledge.scoped(of_bot uuid, words text[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY(SELECT hashtextextended(word, hashtextextended(of_bot::text, 0)) FROM unnest(words) AS word);

CREATE INDEX snippet_lexemes ON knowledge.snippet USING gin (knowledge.scoped(bot_id, tsvector_to_array(lexemes)));

-- A query that matches any of the lexemes, which are taken as they are.
CREATE FUNCTION knowledge.any_of(words text[]) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT string_agg('''' || replace(replace(word, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery
              FROM unnest(words) AS word);

-- Every write to a corpus begins here: it takes the row's lock, and tells the bot how much it knows.
CREATE FUNCTION knowledge.raise_version(of_bot uuid, added integer, in_language text) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$
DECLARE
    now_at knowledge.corpus;
BEGIN
    INSERT INTO knowledge.corpus AS corpus (bot_id, version, snippet_count, languages)
    VALUES (of_bot, 1, greatest(added, 0), ARRAY[coalesce(in_language, 'en')])
    ON CONFLICT (bot_id) DO UPDATE
       SET version = corpus.version + 1,
           snippet_count = corpus.snippet_count + added,
           languages = CASE WHEN added <= 0 OR coalesce(in_language, 'en') = ANY (corpus.languages)
                                 THEN corpus.languages
                            ELSE corpus.languages || coalesce(in_language, 'en') END
    RETURNING * INTO now_at;
    PERFORM bots.count_snippets(of_bot, now_at.snippet_count);
    RETURN now_at.version;
END $$;

-- For bots: the starter snippets of a template, in the transaction that makes the bot.
CREATE FUNCTION knowledge.seed_bot(of_bot uuid, snippets jsonb, moment timestamptz) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
    BEGIN ATOMIC
        WITH corpus AS MATERIALIZED (
            SELECT knowledge.raise_version(of_bot, jsonb_array_length(snippets), NULL) AS version
        )
        INSERT INTO knowledge.snippet (bot_id, id, title, body, tags, corpus_version, created_at, updated_at)
        SELECT of_bot, seed.id, seed.title, seed.body, '{}', corpus.version, moment, moment
          FROM corpus, jsonb_to_recordset(snippets) AS seed (id uuid, title text, body text);
    END;

GRANT USAGE ON SCHEMA knowledge TO hivemind_knowledge;
GRANT SELECT, INSERT, UPDATE, DELETE ON knowledge.corpus, knowledge.snippet, knowledge.tombstone TO hivemind_knowledge;
GRANT USAGE ON SCHEMA knowledge TO hivemind_bots;
REVOKE ALL ON FUNCTION knowledge.seed_bot(uuid, jsonb, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION knowledge.seed_bot(uuid, jsonb, timestamptz) TO hivemind_bots;
REVOKE ALL ON FUNCTION knowledge.raise_version(uuid, integer, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION knowledge.raise_version(uuid, integer, text) TO hivemind_knowledge;
