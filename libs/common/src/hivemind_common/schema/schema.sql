-- What the migrations make. Not for running: a test compares it, so that a change is seen whole in review.

CREATE SCHEMA audit;

CREATE SCHEMA auth;

CREATE SCHEMA bots;

CREATE SCHEMA knowledge;

CREATE SCHEMA meta;

CREATE FUNCTION audit.changes(was jsonb, becomes jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT jsonb_object_agg(one.key, jsonb_build_array(one.value, other.value)) AS jsonb_object_agg
    FROM (jsonb_each(changes.was) one(key, value)
      JOIN jsonb_each(changes.becomes) other(key, value) USING (key))
   WHERE (one.value <> other.value);
END;

CREATE FUNCTION meta.new_id() RETURNS uuid
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT (encode(set_bit(set_bit(OVERLAY(uuid_send(gen_random_uuid()) PLACING SUBSTRING(int8send((floor((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric)))::bigint) FROM 3) FROM 1 FOR 6), (52)::bigint, 1), (53)::bigint, 1), 'hex'::text))::uuid AS encode;
END;

CREATE TABLE audit.entry (
    seq bigint NOT NULL,
    id uuid DEFAULT meta.new_id() NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor_kind text NOT NULL,
    actor_id uuid,
    actor_name text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    outcome text NOT NULL,
    address text,
    request_id text,
    details jsonb NOT NULL,
    written_by text DEFAULT SESSION_USER NOT NULL,
    CONSTRAINT entry_action CHECK ((action ~ '^[a-z][a-z_]*\.[a-z][a-z_]*$'::text)),
    CONSTRAINT entry_actor_kind CHECK ((actor_kind = ANY (ARRAY['user'::text, 'key'::text, 'break_glass'::text, 'anonymous'::text, 'channel_member'::text, 'service'::text, 'sql'::text]))),
    CONSTRAINT entry_details CHECK ((jsonb_typeof(details) = 'object'::text)),
    CONSTRAINT entry_outcome CHECK ((outcome = ANY (ARRAY['ok'::text, 'refused'::text]))),
    CONSTRAINT entry_sql_actor CHECK (((actor_kind <> 'sql'::text) OR (actor_name = written_by)))
);

COMMENT ON COLUMN audit.entry.seq IS 'the order of writing; what is rolled back leaves a gap';

COMMENT ON COLUMN audit.entry.actor_kind IS 'a kind of principal, or sql: a statement under a role of the database';

COMMENT ON COLUMN audit.entry.written_by IS 'the role that was logged in, as the database knows it: no service can speak for another';

CREATE FUNCTION audit.record(kind text, who uuid, name text, what text, on_what text, came_out text, from_address text, request text, more jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 INSERT INTO audit.entry (actor_kind, actor_id, actor_name, action, target, outcome, address, request_id, details)
   VALUES (record.kind, record.who, record.name, record.what, record.on_what, record.came_out, record.from_address, record.request, record.more);
END;

CREATE FUNCTION audit.record_sql(what text, on_what text, more jsonb) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT audit.record('sql'::text, NULL::uuid, (SESSION_USER)::text, what, on_what, 'ok'::text, host(inet_client_addr()), NULL::text, more) AS record;
END;

CREATE FUNCTION audit.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are neither changed nor deleted' USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION auth.digest_of_key(key text) RETURNS bytea
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF char_length(key) < 24 THEN
        RAISE EXCEPTION 'an API key has at least 24 characters, and this one has %', char_length(key)
            USING ERRCODE = 'check_violation', COLUMN = 'api_key', HINT = 'make one with: openssl rand -hex 32';
    ELSIF char_length(key) > 1024 THEN
        RAISE EXCEPTION 'an API key has at most 1,024 characters, and this one has %', char_length(key)
            USING ERRCODE = 'check_violation', COLUMN = 'api_key', HINT = 'make one with: openssl rand -hex 32';
    -- A header carries no control characters, and whatever Python takes for a space is cut off its ends.
    ELSIF key ~ '[\u0001-\u001f\u007f]' OR key <> btrim(key,
        E' \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000') THEN
        RAISE EXCEPTION 'an API key neither begins nor ends with a space, and holds no control characters'
            USING ERRCODE = 'check_violation', COLUMN = 'api_key';
    END IF;
    RETURN sha256(convert_to(key, 'UTF8'));
END $$;

CREATE TABLE auth.first_admin (
    singleton boolean DEFAULT true NOT NULL,
    account_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT first_admin_singleton CHECK (singleton)
);

CREATE FUNCTION auth.has_admin() RETURNS boolean
    LANGUAGE sql STABLE
    RETURN (EXISTS (SELECT FROM auth.first_admin));

CREATE FUNCTION auth.keep_an_admin(besides uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    UPDATE auth.first_admin SET singleton = singleton;
    IF NOT EXISTS (SELECT FROM auth.account WHERE role = 'admin' AND status = 'active' AND id <> besides) THEN
        RAISE EXCEPTION 'the last active admin stays one'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'last_admin', HINT = 'make somebody else an admin first';
    END IF;
END $$;

CREATE FUNCTION auth.refuse_user() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION 'accounts are not made by SQL' USING ERRCODE = 'feature_not_supported';
    END IF;
    RAISE EXCEPTION 'accounts are not deleted by SQL'
        USING ERRCODE = 'feature_not_supported', HINT = 'UPDATE users SET status = ''disabled'' WHERE username = …';
END $$;

CREATE TABLE auth.account (
    id uuid NOT NULL,
    username text NOT NULL,
    email text NOT NULL,
    role text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    password_hash text,
    created_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone,
    CONSTRAINT account_role CHECK ((role = ANY (ARRAY['admin'::text, 'user'::text]))),
    CONSTRAINT account_status CHECK ((status = ANY (ARRAY['active'::text, 'disabled'::text, 'invited'::text])))
);

CREATE FUNCTION auth.revoke_key(of_account auth.account) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    revoked uuid;
BEGIN
    UPDATE auth.api_key SET revoked_at = clock_timestamp()
     WHERE account_id = of_account.id AND prefix = '' AND revoked_at IS NULL
    RETURNING id INTO revoked;
    IF FOUND THEN
        PERFORM audit.record_sql('key.revoked', of_account.id::text,
                                 jsonb_build_object('username', of_account.username, 'key_id', revoked));
    END IF;
END $$;

CREATE FUNCTION auth.set_key(of_account auth.account, key text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    hashed bytea := auth.digest_of_key(key);
    key_id uuid := meta.new_id();
    violated text;
BEGIN
    IF of_account.status <> 'active' THEN
        RAISE EXCEPTION 'the account is %, so a key would open nothing', of_account.status
            USING ERRCODE = 'check_violation', HINT = 'set status = ''active'' in the same statement';
    END IF;
    DELETE FROM auth.api_key WHERE account_id = of_account.id AND prefix = '';
    INSERT INTO auth.api_key (id, account_id, digest, prefix, name, created_at)
    VALUES (key_id, of_account.id, hashed, '', 'set-by-sql', clock_timestamp());
    PERFORM audit.record_sql('key.set', of_account.id::text,
                             jsonb_build_object('username', of_account.username, 'key_id', key_id));
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
    IF violated <> 'api_key_digest' THEN
        RAISE;
    END IF;
    RAISE EXCEPTION 'this key is in use already' USING ERRCODE = 'unique_violation', HINT = 'choose another one';
END $$;

CREATE FUNCTION auth.update_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    before auth.account;
    after  auth.account;
    violated text;
BEGIN
    -- 1. What can be set, and in which form. The statement's own old row tells what it means to change.
    IF (NEW.id, NEW.created_at, NEW.last_seen_at) IS DISTINCT FROM (OLD.id, OLD.created_at, OLD.last_seen_at) THEN
        RAISE EXCEPTION 'only username, email, role, status and api_key can be set' USING ERRCODE = 'feature_not_supported';
    END IF;
    -- 2. The row as it stands now, held until the end, so that of two operators one comes after the other.
    SELECT * INTO before FROM auth.account WHERE id = OLD.id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    after := before;
    IF NEW.username IS DISTINCT FROM OLD.username THEN
        IF (NEW.username ~ '^[A-Za-z0-9][A-Za-z0-9._-]{1,63}$') IS NOT TRUE THEN
            RAISE EXCEPTION 'a username is 2 to 64 letters, digits, dots, underscores and hyphens, and begins with a letter or a digit'
                USING ERRCODE = 'check_violation', COLUMN = 'username';
        END IF;
        after.username := NEW.username;
    END IF;
    IF NEW.email IS DISTINCT FROM OLD.email THEN
        IF (NEW.email ~ '^[^@[:space:]]+@[^@[:space:]]+$' AND char_length(NEW.email) <= 254) IS NOT TRUE THEN
            RAISE EXCEPTION 'an e-mail address has one @ with something on both sides, and at most 254 characters'
                USING ERRCODE = 'check_violation', COLUMN = 'email';
        END IF;
        after.email := NEW.email;
    END IF;
    IF NEW.role IS DISTINCT FROM OLD.role THEN
        IF (NEW.role IN ('admin', 'user')) IS NOT TRUE THEN
            RAISE EXCEPTION 'a role is admin or user' USING ERRCODE = 'check_violation', COLUMN = 'role';
        END IF;
        after.role := NEW.role;
    END IF;
    IF NEW.status IS DISTINCT FROM OLD.status THEN
        IF (NEW.status IN ('active', 'disabled')) IS NOT TRUE THEN
            RAISE EXCEPTION 'a status is set to active or disabled' USING ERRCODE = 'check_violation', COLUMN = 'status';
        END IF;
        after.status := NEW.status;
    END IF;
    -- 3. The account.
    IF after <> before THEN
        IF (before.role, before.status) = ('admin', 'active') AND (after.role, after.status) <> ('admin', 'active') THEN
            PERFORM auth.keep_an_admin(besides => before.id);
        END IF;
        UPDATE auth.account
           SET username = after.username, email = after.email, role = after.role, status = after.status
         WHERE id = before.id;
        IF after.status <> 'active' THEN
            DELETE FROM auth.session WHERE account_id = before.id;  -- else they would come back with the account
        END IF;
        PERFORM audit.record_sql('account.updated', before.id::text, jsonb_build_object(
            'username', after.username, 'changed', audit.changes(to_jsonb(before), to_jsonb(after))));
    END IF;
    -- 4. The key.
    IF NEW.api_key IS DISTINCT FROM OLD.api_key THEN
        IF NEW.api_key IS NULL THEN
            PERFORM auth.revoke_key(after);
        ELSE
            PERFORM auth.set_key(after, NEW.api_key);
            NEW.api_key := '(set)';  -- what RETURNING shows
        END IF;
    END IF;
    RETURN NEW;
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
    IF violated NOT IN ('account_username', 'account_email') THEN
        RAISE;
    END IF;
    RAISE EXCEPTION 'another account has this %', CASE violated WHEN 'account_email' THEN 'e-mail address' ELSE 'username' END
        USING ERRCODE = 'unique_violation';
END $_$;

CREATE TABLE bots.bot (
    id uuid NOT NULL,
    slug text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    description text NOT NULL,
    tier text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    provider text,
    model text,
    fallbacks jsonb NOT NULL,
    max_output_tokens integer NOT NULL,
    temperature double precision,
    cost_cap_day_micro_usd bigint,
    cost_cap_month_micro_usd bigint,
    rate_limit_per_minute integer,
    user_rate_limit_per_minute integer,
    grounding text NOT NULL,
    strictness text NOT NULL,
    knowledge_search_enabled boolean NOT NULL,
    channel_reply_mode text NOT NULL,
    allowed_users uuid[] NOT NULL,
    allowed_origins text[] NOT NULL,
    allow_hosted_provider boolean NOT NULL,
    retention_days integer,
    version integer NOT NULL,
    pinned_version integer,
    snippet_count integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    archived_at timestamp with time zone,
    was_paused boolean DEFAULT false NOT NULL,
    changed_by text DEFAULT ''::text NOT NULL,
    placeholders text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT bot_archived_since CHECK (((status = 'archived'::text) = (archived_at IS NOT NULL))),
    CONSTRAINT bot_channel_reply_mode CHECK ((channel_reply_mode = ANY (ARRAY['dm_only'::text, 'channel_mention'::text, 'both'::text]))),
    CONSTRAINT bot_cost_cap_day CHECK (((cost_cap_day_micro_usd >= 0) AND (cost_cap_day_micro_usd <= '1000000000000'::bigint))),
    CONSTRAINT bot_cost_cap_month CHECK (((cost_cap_month_micro_usd >= 0) AND (cost_cap_month_micro_usd <= '1000000000000'::bigint))),
    CONSTRAINT bot_description CHECK ((char_length(description) <= 500)),
    CONSTRAINT bot_grounding CHECK ((grounding = ANY (ARRAY['grounded'::text, 'open'::text]))),
    CONSTRAINT bot_max_output_tokens CHECK (((max_output_tokens >= 1) AND (max_output_tokens <= 32768))),
    CONSTRAINT bot_name CHECK (((name = btrim(name)) AND ((char_length(name) >= 1) AND (char_length(name) <= 80)))),
    CONSTRAINT bot_rate_limit CHECK (((rate_limit_per_minute >= 1) AND (rate_limit_per_minute <= 100000))),
    CONSTRAINT bot_retention_days CHECK (((retention_days >= 1) AND (retention_days <= 3650))),
    CONSTRAINT bot_slug_form CHECK ((slug ~ '^[a-z0-9][a-z0-9-]{1,30}[a-z0-9]$'::text)),
    CONSTRAINT bot_snippet_count CHECK ((snippet_count >= 0)),
    CONSTRAINT bot_status CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text, 'archived'::text]))),
    CONSTRAINT bot_strictness CHECK ((strictness = ANY (ARRAY['lenient'::text, 'normal'::text, 'strict'::text]))),
    CONSTRAINT bot_temperature CHECK (((temperature >= (0)::double precision) AND (temperature <= (2)::double precision))),
    CONSTRAINT bot_tier CHECK ((tier = ANY (ARRAY['public'::text, 'internal'::text, 'restricted'::text]))),
    CONSTRAINT bot_user_rate_limit CHECK (((user_rate_limit_per_minute >= 1) AND (user_rate_limit_per_minute <= 100000)))
);

COMMENT ON COLUMN bots.bot.version IS 'the newest version of the prompt; the live one where none is pinned';

COMMENT ON COLUMN bots.bot.archived_at IS 'since when, of an archived bot';

COMMENT ON COLUMN bots.bot.was_paused IS 'of an archived bot: whether it comes back paused';

COMMENT ON COLUMN bots.bot.placeholders IS 'names that stand in double braces in its snippets';

CREATE FUNCTION bots.count_snippets(of_bot uuid, snippets integer) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    BEGIN ATOMIC
 UPDATE bots.bot SET snippet_count = count_snippets.snippets, knowledge_search_enabled = (bot.knowledge_search_enabled OR ((bot.snippet_count = 0) AND (count_snippets.snippets > 0)))
   WHERE (bot.id = count_snippets.of_bot);
END;

CREATE FUNCTION bots.date_archive() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF NEW.status <> 'archived' THEN
        NEW.archived_at := NULL;
        NEW.was_paused := false;
    ELSIF OLD.status <> 'archived' THEN
        NEW.archived_at := coalesce(NEW.archived_at, clock_timestamp());
        NEW.was_paused := OLD.status = 'paused';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION bots.note_placeholders(of_bot uuid, names text[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    BEGIN ATOMIC
 UPDATE bots.bot SET placeholders = note_placeholders.names
   WHERE ((bot.id = note_placeholders.of_bot) AND (bot.placeholders <> note_placeholders.names));
END;

CREATE FUNCTION bots.record_sql_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM audit.record_sql('bot.updated', NEW.id::text, jsonb_build_object(
        'slug', NEW.slug, 'changed', audit.changes(to_jsonb(OLD), to_jsonb(NEW))));
    RETURN NULL;
END $$;

CREATE FUNCTION bots.record_sql_deletion() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM audit.record_sql('bot.deleted', OLD.id::text, jsonb_build_object('slug', OLD.slug));
    RETURN NULL;
END $$;

CREATE FUNCTION knowledge.any_of(words text[]) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT (string_agg(((''''::text || replace(replace(word.word, '\'::text, '\\'::text), ''''::text, ''''''::text)) || ''''::text), ' | '::text))::tsquery AS string_agg FROM unnest(any_of.words) word(word));

CREATE FUNCTION knowledge.asked(question text, of_language text) RETURNS TABLE(place bigint, word text, lexemes text[], is_light boolean)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
SELECT min(token.place) AS place, token.word,
       tsvector_to_array(to_tsvector(knowledge.configuration_of(of_language), token.word)),
       to_tsvector(knowledge.stopping_configuration_of(of_language), token.word) = ''
       OR EXISTS (SELECT FROM knowledge.light
                   WHERE light.language IN (coalesce(of_language, 'en'), 'und') AND light.word = token.word)
  FROM regexp_split_to_table(lower(knowledge.words_of(question)), ' +') WITH ORDINALITY AS token (word, place)
 WHERE token.word <> ''
 GROUP BY token.word
 ORDER BY place
 LIMIT 256
$$;

CREATE FUNCTION knowledge.change_snippets(of_bot uuid, removed uuid[], kept jsonb, moment timestamp with time zone, changed_by text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
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

CREATE TEXT SEARCH DICTIONARY knowledge.danish_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'danish' );

CREATE TEXT SEARCH DICTIONARY knowledge.dutch_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'dutch' );

CREATE TEXT SEARCH DICTIONARY knowledge.english_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'english' );

CREATE TEXT SEARCH DICTIONARY knowledge.finnish_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'finnish' );

CREATE TEXT SEARCH DICTIONARY knowledge.french_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'french' );

CREATE TEXT SEARCH DICTIONARY knowledge.german_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'german' );

CREATE TEXT SEARCH DICTIONARY knowledge.italian_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'italian' );

CREATE TEXT SEARCH DICTIONARY knowledge.norwegian_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'norwegian' );

CREATE TEXT SEARCH DICTIONARY knowledge.portuguese_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'portuguese' );

CREATE TEXT SEARCH DICTIONARY knowledge.russian_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'russian' );

CREATE TEXT SEARCH DICTIONARY knowledge.spanish_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'spanish' );

CREATE TEXT SEARCH DICTIONARY knowledge.swedish_stem (
    TEMPLATE = pg_catalog.snowball,
    language = 'swedish' );

CREATE TEXT SEARCH CONFIGURATION knowledge.danish (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR asciiword WITH knowledge.danish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR word WITH knowledge.danish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR hword_part WITH knowledge.danish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR hword_asciipart WITH knowledge.danish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR asciihword WITH knowledge.danish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR hword WITH knowledge.danish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.danish
    ADD MAPPING FOR uint WITH simple;

CREATE TEXT SEARCH CONFIGURATION knowledge.dutch (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR asciiword WITH knowledge.dutch_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR word WITH knowledge.dutch_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR hword_part WITH knowledge.dutch_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR hword_asciipart WITH knowledge.dutch_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR asciihword WITH knowledge.dutch_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR hword WITH knowledge.dutch_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.dutch
    ADD MAPPING FOR uint WITH simple;

CREATE TEXT SEARCH CONFIGURATION knowledge.english (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR asciiword WITH knowledge.english_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR word WITH knowledge.english_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR hword_part WITH knowledge.english_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR hword_asciipart WITH knowledge.english_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR asciihword WITH knowledge.english_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR hword WITH knowledge.english_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.english
    ADD MAPPING FOR uint WITH simple;

CREATE TEXT SEARCH CONFIGURATION knowledge.finnish (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR asciiword WITH knowledge.finnish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR word WITH knowledge.finnish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR hword_part WITH knowledge.finnish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR hword_asciipart WITH knowledge.finnish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR asciihword WITH knowledge.finnish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR hword WITH knowledge.finnish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.finnish
    ADD MAPPING FOR uint WITH simple;

CREATE TEXT SEARCH CONFIGURATION knowledge.french (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR asciiword WITH knowledge.french_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR word WITH knowledge.french_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR hword_part WITH knowledge.french_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR hword_asciipart WITH knowledge.french_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR asciihword WITH knowledge.french_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR hword WITH knowledge.french_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.french
    ADD MAPPING FOR uint WITH simple;

CREATE TEXT SEARCH CONFIGURATION knowledge.german (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR asciiword WITH knowledge.german_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR word WITH knowledge.german_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR hword_part WITH knowledge.german_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR hword_asciipart WITH knowledge.german_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR asciihword WITH knowledge.german_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR hword WITH knowledge.german_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.german
    ADD MAPPING FOR uint WITH simple;

CREATE TEXT SEARCH CONFIGURATION knowledge.italian (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR asciiword WITH knowledge.italian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR word WITH knowledge.italian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR hword_part WITH knowledge.italian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR hword_asciipart WITH knowledge.italian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR asciihword WITH knowledge.italian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR hword WITH knowledge.italian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.italian
    ADD MAPPING FOR uint WITH simple;

CREATE TEXT SEARCH CONFIGURATION knowledge.norwegian (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR asciiword WITH knowledge.norwegian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR word WITH knowledge.norwegian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR hword_part WITH knowledge.norwegian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR hword_asciipart WITH knowledge.norwegian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR asciihword WITH knowledge.norwegian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR hword WITH knowledge.norwegian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.norwegian
    ADD MAPPING FOR uint WITH simple;

CREATE TEXT SEARCH CONFIGURATION knowledge.portuguese (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR asciiword WITH knowledge.portuguese_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR word WITH knowledge.portuguese_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR hword_part WITH knowledge.portuguese_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR hword_asciipart WITH knowledge.portuguese_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR asciihword WITH knowledge.portuguese_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR hword WITH knowledge.portuguese_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.portuguese
    ADD MAPPING FOR uint WITH simple;

CREATE TEXT SEARCH CONFIGURATION knowledge.russian (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR asciiword WITH english_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR word WITH knowledge.russian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR hword_part WITH knowledge.russian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR hword_asciipart WITH english_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR asciihword WITH english_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR hword WITH knowledge.russian_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.russian
    ADD MAPPING FOR uint WITH simple;

CREATE TEXT SEARCH CONFIGURATION knowledge.spanish (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR asciiword WITH knowledge.spanish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR word WITH knowledge.spanish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR hword_part WITH knowledge.spanish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR hword_asciipart WITH knowledge.spanish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR asciihword WITH knowledge.spanish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR hword WITH knowledge.spanish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.spanish
    ADD MAPPING FOR uint WITH simple;

CREATE TEXT SEARCH CONFIGURATION knowledge.swedish (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR asciiword WITH knowledge.swedish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR word WITH knowledge.swedish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR hword_part WITH knowledge.swedish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR hword_asciipart WITH knowledge.swedish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR asciihword WITH knowledge.swedish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR hword WITH knowledge.swedish_stem;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION knowledge.swedish
    ADD MAPPING FOR uint WITH simple;

CREATE FUNCTION knowledge.configuration_of(language text) RETURNS regconfig
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE COALESCE(language, 'en'::text) WHEN 'da'::text THEN 'knowledge.danish'::regconfig WHEN 'de'::text THEN 'knowledge.german'::regconfig WHEN 'en'::text THEN 'knowledge.english'::regconfig WHEN 'es'::text THEN 'knowledge.spanish'::regconfig WHEN 'fi'::text THEN 'knowledge.finnish'::regconfig WHEN 'fr'::text THEN 'knowledge.french'::regconfig WHEN 'it'::text THEN 'knowledge.italian'::regconfig WHEN 'nl'::text THEN 'knowledge.dutch'::regconfig WHEN 'no'::text THEN 'knowledge.norwegian'::regconfig WHEN 'pt'::text THEN 'knowledge.portuguese'::regconfig WHEN 'ru'::text THEN 'knowledge.russian'::regconfig WHEN 'sv'::text THEN 'knowledge.swedish'::regconfig ELSE 'simple'::regconfig END;

CREATE FUNCTION knowledge.count_placeholders() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog'
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

CREATE FUNCTION knowledge.count_words() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog'
    AS $$
DECLARE
    sign constant integer := CASE WHEN TG_ARGV[0] = 'more' THEN 1 ELSE -1 END;
BEGIN
    UPDATE knowledge.corpus
       SET title_words = title_words + sign * changed.title, body_words = body_words + sign * changed.body
      FROM (SELECT bot_id, sum(length.title) AS title, sum(length.body) AS body
              FROM these, knowledge.lengths_of(lexemes) AS length GROUP BY bot_id) AS changed
     WHERE changed.bot_id = corpus.bot_id;
    RETURN NULL;
END $$;

CREATE TABLE knowledge.corpus (
    bot_id uuid NOT NULL,
    version bigint NOT NULL,
    snippet_count integer NOT NULL,
    languages text[] NOT NULL,
    title_words bigint DEFAULT 0 NOT NULL,
    body_words bigint DEFAULT 0 NOT NULL,
    forgotten bigint DEFAULT 0 NOT NULL,
    CONSTRAINT corpus_snippet_count CHECK ((snippet_count >= 0))
);

COMMENT ON COLUMN knowledge.corpus.languages IS 'of the snippets there are or were: a question is asked in each of them';

COMMENT ON COLUMN knowledge.corpus.forgotten IS 'the version up to which tombstones may be gone: an index behind it is built anew';

CREATE FUNCTION knowledge.hold_shelf(of_bot uuid) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 INSERT INTO knowledge.corpus AS corpus (bot_id, version, snippet_count, languages)
   VALUES (hold_shelf.of_bot, 1, 0, '{}'::text[]) ON CONFLICT(bot_id) DO UPDATE SET version = corpus.version;
END;

CREATE FUNCTION knowledge.lengths_of(lexemes tsvector, OUT title integer, OUT body integer) RETURNS record
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'pg_catalog'
    AS $$
SELECT count(*) FILTER (WHERE weight = 'A'), count(*) FILTER (WHERE weight = 'D')
  FROM unnest(lexemes) AS word, unnest(word.weights) AS weight
$$;

CREATE FUNCTION knowledge.words_of(text text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'pg_catalog'
    AS $$
DECLARE
    -- Full-width letters, ligatures and the like become plain; what shows nothing is nothing.
    plain text := regexp_replace(normalize(text, NFKC), U&'[\00AD\200B-\200F\202A-\202E\2060-\2069\FE00-\FE0F\FEFF]', '', 'g');
    whole text;
BEGIN
    -- What hyphens, underlines and dots hold together, and getUserName, are words as a whole too.
    SELECT string_agg(part, ' ') INTO whole FROM (
        SELECT regexp_replace(piece[1], '[-_.]', '', 'g') AS part
          FROM pg_catalog.regexp_matches(plain, '[[:alnum:]]+(?:[-_.][[:alnum:]]+)+', 'g') AS piece
         WHERE piece[1] ~ '[-_0-9]' AND length(piece[1]) <= 80
        UNION ALL
        SELECT piece[1]
          FROM pg_catalog.regexp_matches(
                   plain,
                   '[[:alnum:]]*(?:[[:lower:][:digit:]][[:upper:]]|[[:upper:]]{2}[[:lower:]]{2})[[:alnum:]]*', 'g') AS piece
         WHERE length(piece[1]) <= 80
    ) AS parts;
    plain := regexp_replace(plain, '([[:lower:][:digit:]])([[:upper:]])', '\1 \2', 'g');
    plain := regexp_replace(plain, '([[:upper:]])([[:upper:]][[:lower:]]{2})', '\1 \2', 'g');
    plain := regexp_replace(
        concat_ws(' ', plain, whole),
        U&'[\0001-/:-@[-`{-\00A9\00AB-\00B4\00B6-\00B9\00BB-\00BF\00D7\00F7\02C2-\02DF\2000-\2BFF\2E00-\2E7F\3000-\3004'
        '\3008-\3030\303D-\303F\30FB\E000-\F8FF\FE10-\FE6F\FF00-\FF0F\FFE0-\FFFF\+01F000-\+01FBFF]+',
        ' ', 'g');
    IF plain ~ U&'[\0E00-\FAFF]' THEN
        plain := knowledge.pairs_of(plain);
    END IF;
    -- A key or a picture in letters is a word without an end, and nobody asks for it.
    RETURN regexp_replace(plain, '([^ ]{80})[^ ]+', '\1', 'g');
END $$;

CREATE FUNCTION knowledge.lexemes_of(language text, title text, body text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog'
    RETURN (setweight(to_tsvector(knowledge.configuration_of(language), knowledge.words_of(title)), 'A'::"char") || setweight(to_tsvector(knowledge.configuration_of(language), knowledge.words_of(body)), 'D'::"char"));

CREATE FUNCTION knowledge.pairs_of(text text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'pg_catalog'
    RETURN (SELECT string_agg(CASE WHEN (found.piece[2] IS NULL) THEN found.piece[1] ELSE (SELECT ((' '::text || string_agg(substr(found.piece[2], place.place, 2), ' '::text)) || ' '::text) FROM generate_series(1, GREATEST((length(found.piece[2]) - 1), 1)) place(place)) END, ''::text ORDER BY found.number) AS string_agg FROM regexp_matches(pairs_of.text, '([^฀-๿ᄀ-ᇿ々-〇〱-〵぀-ヺー-ㄯ㐀-䶿一-鿿가-퟿豈-﫿]+)|([฀-๿ᄀ-ᇿ々-〇〱-〵぀-ヺー-ㄯ㐀-䶿一-鿿가-퟿豈-﫿]+)'::text, 'g'::text) WITH ORDINALITY found(piece, number));

CREATE FUNCTION knowledge.placeholders_of(text text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog'
    RETURN (SELECT COALESCE(array_agg(DISTINCT found.found[1] ORDER BY found.found[1]), '{}'::text[]) AS "coalesce" FROM regexp_matches(placeholders_of.text, '\{\{([a-z][a-z0-9_]{0,39})\}\}'::text, 'g'::text) found(found));

CREATE FUNCTION knowledge.prepare_vectors() RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
END $_$;

CREATE FUNCTION knowledge.raise_version(of_bot uuid, added integer, in_language text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog'
    AS $$
DECLARE
    now_at knowledge.corpus;
BEGIN
    INSERT INTO knowledge.corpus AS corpus (bot_id, version, snippet_count, languages)
    VALUES (of_bot, 1, greatest(added, 0), ARRAY[coalesce(in_language, 'en')])
    ON CONFLICT (bot_id) DO UPDATE
       SET version = corpus.version + 1,
           snippet_count = corpus.snippet_count + added,
           languages = CASE WHEN added < 0 OR coalesce(in_language, 'en') = ANY (corpus.languages)
                                 THEN corpus.languages
                            ELSE corpus.languages || coalesce(in_language, 'en') END
    RETURNING * INTO now_at;
    IF added <> 0 THEN
        PERFORM bots.count_snippets(of_bot, now_at.snippet_count);
    END IF;
    RETURN now_at.version;
END $$;

CREATE FUNCTION knowledge.scoped(of_bot uuid, words text[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY(SELECT hashtextextended(word.word, hashtextextended((scoped.of_bot)::text, (0)::bigint)) AS hashtextextended FROM unnest(scoped.words) word(word));

CREATE TABLE knowledge.snippet (
    bot_id uuid NOT NULL,
    id uuid NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    tags text[] NOT NULL,
    source text,
    language text,
    corpus_version bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    lexemes tsvector GENERATED ALWAYS AS (knowledge.lexemes_of(language, title, body)) STORED NOT NULL,
    language_given boolean DEFAULT true NOT NULL,
    changed_by text DEFAULT ''::text NOT NULL
);

COMMENT ON COLUMN knowledge.snippet.language IS 'none: English; und: none that we know';

COMMENT ON COLUMN knowledge.snippet.language_given IS 'false: it was detected, and will be again when the text changes';

CREATE FUNCTION knowledge.seed_bot(of_bot uuid, snippets jsonb, moment timestamp with time zone) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    BEGIN ATOMIC
 WITH corpus AS MATERIALIZED (
          SELECT knowledge.raise_version(seed_bot.of_bot, jsonb_array_length(seed_bot.snippets), NULL::text) AS version
         )
  INSERT INTO knowledge.snippet (bot_id, id, title, body, tags, corpus_version, created_at, updated_at)  SELECT seed_bot.of_bot AS of_bot,
             seed.id,
             seed.title,
             seed.body,
             '{}',
             corpus.version,
             seed_bot.moment AS moment,
             seed_bot.moment AS moment
            FROM corpus,
             jsonb_to_recordset(seed_bot.snippets) seed(id uuid, title text, body text);
END;

CREATE FUNCTION knowledge.snippets_of(of_bot uuid) RETURNS TABLE(id uuid, title text, body text, tags text[], source text, language text, language_given boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT known.id,
     known.title,
     known.body,
     known.tags,
     known.source,
     COALESCE(known.language, 'en'::text) AS "coalesce",
     (known.language_given AND (known.language IS NOT NULL))
    FROM knowledge.snippet known
   WHERE (known.bot_id = snippets_of.of_bot)
   ORDER BY known.id;
END;

CREATE FUNCTION knowledge.stopping_configuration_of(language text) RETURNS regconfig
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE COALESCE(language, 'en'::text) WHEN 'da'::text THEN 'danish'::regconfig WHEN 'de'::text THEN 'german'::regconfig WHEN 'en'::text THEN 'english'::regconfig WHEN 'es'::text THEN 'spanish'::regconfig WHEN 'fi'::text THEN 'finnish'::regconfig WHEN 'fr'::text THEN 'french'::regconfig WHEN 'it'::text THEN 'italian'::regconfig WHEN 'nl'::text THEN 'dutch'::regconfig WHEN 'no'::text THEN 'norwegian'::regconfig WHEN 'pt'::text THEN 'portuguese'::regconfig WHEN 'ru'::text THEN 'russian'::regconfig WHEN 'sv'::text THEN 'swedish'::regconfig ELSE 'simple'::regconfig END;

CREATE FUNCTION knowledge.want_vector() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog'
    AS $$
BEGIN
    INSERT INTO knowledge.embedding (bot_id, id) VALUES (NEW.bot_id, NEW.id)
    ON CONFLICT (bot_id, id) DO UPDATE SET vector = NULL;
    RETURN NULL;
END $$;

ALTER TABLE audit.entry ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME audit.entry_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE auth.api_key (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    digest bytea NOT NULL,
    prefix text NOT NULL,
    name text NOT NULL,
    scopes text[],
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone
);

COMMENT ON COLUMN auth.api_key.prefix IS 'what of the key may be shown; empty for the one key of an account that was set by SQL';

COMMENT ON COLUMN auth.api_key.scopes IS 'null: all that the role of the account may';

CREATE TABLE auth.session (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    digest bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    address text NOT NULL,
    user_agent text NOT NULL
);

CREATE TABLE auth.sign_in_tries (
    pair bytea NOT NULL,
    tries timestamp with time zone[] NOT NULL,
    last_try timestamp with time zone NOT NULL
);

CREATE TABLE bots.conversation (
    bot_id uuid NOT NULL,
    id uuid NOT NULL,
    speaker text NOT NULL,
    title text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);

COMMENT ON COLUMN bots.conversation.speaker IS 'whose it is: an account, or the asker of another kind; nobody else may know of it';

CREATE TABLE bots.golden_question (
    bot_id uuid NOT NULL,
    id uuid NOT NULL,
    question text NOT NULL,
    expect jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT golden_question_expect CHECK ((jsonb_typeof(expect) = 'object'::text))
);

COMMENT ON COLUMN bots.golden_question.expect IS 'what the answer must be: snippets, contains, not_contains, cites, refuses';

CREATE TABLE bots.message (
    bot_id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    id uuid NOT NULL,
    role text NOT NULL,
    text text NOT NULL,
    answer jsonb,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT message_role CHECK ((role = ANY (ARRAY['user'::text, 'assistant'::text])))
);

COMMENT ON COLUMN bots.message.answer IS 'of an assistant: citations, provider, model, usage and so on, as they were told';

CREATE TABLE bots.prompt_version (
    bot_id uuid NOT NULL,
    version integer NOT NULL,
    system_prompt text NOT NULL,
    note text NOT NULL,
    author text NOT NULL,
    created_at timestamp with time zone NOT NULL
);

CREATE TABLE bots.upload (
    id uuid NOT NULL,
    place integer NOT NULL,
    piece bytea NOT NULL,
    created_at timestamp with time zone NOT NULL
);

CREATE TABLE knowledge.gap (
    bot_id uuid NOT NULL,
    id uuid NOT NULL,
    words bytea NOT NULL,
    question text NOT NULL,
    asked integer NOT NULL,
    last_asked_at timestamp with time zone NOT NULL
);

COMMENT ON COLUMN knowledge.gap.words IS 'a digest of the lexemes that count';

CREATE TABLE knowledge.light (
    language text NOT NULL,
    word text NOT NULL
);

CREATE TABLE knowledge.tombstone (
    bot_id uuid NOT NULL,
    id uuid NOT NULL,
    corpus_version bigint NOT NULL,
    removed_at timestamp with time zone NOT NULL
);

CREATE TABLE meta.migration (
    owner text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    checksum bytea NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE meta.state (
    singleton boolean DEFAULT true NOT NULL,
    schema_version integer NOT NULL,
    oldest_code integer NOT NULL,
    CONSTRAINT state_singleton CHECK (singleton)
);

CREATE VIEW public.users AS
 SELECT id,
    username,
    email,
    role,
    status,
        CASE
            WHEN (EXISTS ( SELECT
               FROM auth.api_key key
              WHERE ((key.account_id = account.id) AND (key.prefix = ''::text) AND (key.revoked_at IS NULL)))) THEN '(set)'::text
            ELSE NULL::text
        END AS api_key,
    created_at,
    GREATEST(last_seen_at, ( SELECT max(session.last_seen_at) AS max
           FROM auth.session
          WHERE (session.account_id = account.id)), ( SELECT max(key.last_used_at) AS max
           FROM auth.api_key key
          WHERE (key.account_id = account.id))) AS last_seen_at
   FROM auth.account;

COMMENT ON VIEW public.users IS 'for operators: username, email, role, status and api_key can be set';

COMMENT ON COLUMN public.users.api_key IS 'write only; shows (set) or nothing, and never a key. Setting it replaces the key that was set here before, null revokes it';

ALTER TABLE ONLY audit.entry
    ADD CONSTRAINT entry_pkey PRIMARY KEY (id);

ALTER TABLE ONLY audit.entry
    ADD CONSTRAINT entry_seq UNIQUE (seq);

ALTER TABLE ONLY auth.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);

ALTER TABLE ONLY auth.api_key
    ADD CONSTRAINT api_key_digest UNIQUE (digest);

ALTER TABLE ONLY auth.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (id);

ALTER TABLE ONLY auth.first_admin
    ADD CONSTRAINT first_admin_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY auth.session
    ADD CONSTRAINT session_digest UNIQUE (digest);

ALTER TABLE ONLY auth.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);

ALTER TABLE ONLY auth.sign_in_tries
    ADD CONSTRAINT sign_in_tries_pkey PRIMARY KEY (pair);

ALTER TABLE ONLY bots.bot
    ADD CONSTRAINT bot_pkey PRIMARY KEY (id);

ALTER TABLE ONLY bots.bot
    ADD CONSTRAINT bot_slug UNIQUE (slug);

ALTER TABLE ONLY bots.conversation
    ADD CONSTRAINT conversation_pkey PRIMARY KEY (bot_id, id);

ALTER TABLE ONLY bots.golden_question
    ADD CONSTRAINT golden_question_pkey PRIMARY KEY (bot_id, id);

ALTER TABLE ONLY bots.message
    ADD CONSTRAINT message_pkey PRIMARY KEY (bot_id, id);

ALTER TABLE ONLY bots.prompt_version
    ADD CONSTRAINT prompt_version_pkey PRIMARY KEY (bot_id, version);

ALTER TABLE ONLY bots.upload
    ADD CONSTRAINT upload_pkey PRIMARY KEY (id, place);

ALTER TABLE ONLY knowledge.corpus
    ADD CONSTRAINT corpus_pkey PRIMARY KEY (bot_id);

ALTER TABLE ONLY knowledge.gap
    ADD CONSTRAINT gap_pkey PRIMARY KEY (bot_id, id);

ALTER TABLE ONLY knowledge.gap
    ADD CONSTRAINT gap_words UNIQUE (bot_id, words);

ALTER TABLE ONLY knowledge.light
    ADD CONSTRAINT light_pkey PRIMARY KEY (language, word);

ALTER TABLE ONLY knowledge.snippet
    ADD CONSTRAINT snippet_pkey PRIMARY KEY (bot_id, id);

ALTER TABLE ONLY knowledge.tombstone
    ADD CONSTRAINT tombstone_pkey PRIMARY KEY (bot_id, id);

ALTER TABLE ONLY meta.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (owner, number);

ALTER TABLE ONLY meta.state
    ADD CONSTRAINT state_pkey PRIMARY KEY (singleton);

CREATE UNIQUE INDEX account_email ON auth.account USING btree (lower(email));

CREATE UNIQUE INDEX account_username ON auth.account USING btree (lower(username));

CREATE INDEX api_key_of_account ON auth.api_key USING btree (account_id);

CREATE UNIQUE INDEX api_key_set_by_sql ON auth.api_key USING btree (account_id) WHERE (prefix = ''::text);

CREATE INDEX session_of_account ON auth.session USING btree (account_id);

CREATE INDEX sign_in_tries_last ON auth.sign_in_tries USING btree (last_try);

CREATE INDEX bot_archived ON bots.bot USING btree (archived_at) WHERE (archived_at IS NOT NULL);

CREATE INDEX message_of_conversation ON bots.message USING btree (bot_id, conversation_id, id);

CREATE INDEX upload_created ON bots.upload USING btree (created_at);

CREATE INDEX gap_asked ON knowledge.gap USING btree (bot_id, last_asked_at);

CREATE INDEX snippet_changed ON knowledge.snippet USING btree (bot_id, corpus_version);

CREATE INDEX snippet_lexemes ON knowledge.snippet USING gin (knowledge.scoped(bot_id, tsvector_to_array(lexemes)));

CREATE INDEX snippet_placeholders ON knowledge.snippet USING btree (bot_id) WHERE ((strpos(title, '{{'::text) > 0) OR (strpos(body, '{{'::text) > 0));

CREATE INDEX tombstone_changed ON knowledge.tombstone USING btree (bot_id, corpus_version);

CREATE TRIGGER entry_stays BEFORE DELETE OR UPDATE OR TRUNCATE ON audit.entry FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();

ALTER TABLE audit.entry ENABLE ALWAYS TRIGGER entry_stays;

CREATE TRIGGER bot_archive_dated BEFORE UPDATE OF status ON bots.bot FOR EACH ROW EXECUTE FUNCTION bots.date_archive();

CREATE TRIGGER bot_changed_by_sql AFTER UPDATE ON bots.bot FOR EACH ROW WHEN (((old.* IS DISTINCT FROM new.*) AND (SESSION_USER <> ALL (ARRAY['hivemind_bots'::name, 'hivemind_knowledge'::name])))) EXECUTE FUNCTION bots.record_sql_change();

CREATE TRIGGER bot_deleted_by_sql AFTER DELETE ON bots.bot FOR EACH ROW WHEN ((SESSION_USER <> 'hivemind_bots'::name)) EXECUTE FUNCTION bots.record_sql_deletion();

CREATE TRIGGER snippet_placeholders_added AFTER INSERT ON knowledge.snippet REFERENCING NEW TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_placeholders();

CREATE TRIGGER snippet_placeholders_new AFTER UPDATE ON knowledge.snippet REFERENCING NEW TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_placeholders();

CREATE TRIGGER snippet_placeholders_old AFTER UPDATE ON knowledge.snippet REFERENCING OLD TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_placeholders();

CREATE TRIGGER snippet_placeholders_removed AFTER DELETE ON knowledge.snippet REFERENCING OLD TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_placeholders();

CREATE TRIGGER snippet_words_added AFTER INSERT ON knowledge.snippet REFERENCING NEW TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_words('more');

CREATE TRIGGER snippet_words_new AFTER UPDATE ON knowledge.snippet REFERENCING NEW TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_words('more');

CREATE TRIGGER snippet_words_old AFTER UPDATE ON knowledge.snippet REFERENCING OLD TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_words('less');

CREATE TRIGGER snippet_words_removed AFTER DELETE ON knowledge.snippet REFERENCING OLD TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_words('less');

CREATE TRIGGER users_refused INSTEAD OF INSERT OR DELETE ON public.users FOR EACH ROW EXECUTE FUNCTION auth.refuse_user();

CREATE TRIGGER users_update INSTEAD OF UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION auth.update_user();

ALTER TABLE ONLY auth.api_key
    ADD CONSTRAINT api_key_account FOREIGN KEY (account_id) REFERENCES auth.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY auth.first_admin
    ADD CONSTRAINT first_admin_account FOREIGN KEY (account_id) REFERENCES auth.account(id);

ALTER TABLE ONLY auth.session
    ADD CONSTRAINT session_account FOREIGN KEY (account_id) REFERENCES auth.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY bots.bot
    ADD CONSTRAINT bot_live_version FOREIGN KEY (id, version) REFERENCES bots.prompt_version(bot_id, version) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY bots.bot
    ADD CONSTRAINT bot_pinned_version FOREIGN KEY (id, pinned_version) REFERENCES bots.prompt_version(bot_id, version) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY bots.conversation
    ADD CONSTRAINT conversation_bot FOREIGN KEY (bot_id) REFERENCES bots.bot(id) ON DELETE CASCADE;

ALTER TABLE ONLY bots.golden_question
    ADD CONSTRAINT golden_question_bot FOREIGN KEY (bot_id) REFERENCES bots.bot(id) ON DELETE CASCADE;

ALTER TABLE ONLY bots.message
    ADD CONSTRAINT message_conversation FOREIGN KEY (bot_id, conversation_id) REFERENCES bots.conversation(bot_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY bots.prompt_version
    ADD CONSTRAINT prompt_version_bot FOREIGN KEY (bot_id) REFERENCES bots.bot(id) ON DELETE CASCADE;

ALTER TABLE ONLY knowledge.corpus
    ADD CONSTRAINT corpus_bot FOREIGN KEY (bot_id) REFERENCES bots.bot(id) ON DELETE CASCADE;

ALTER TABLE ONLY knowledge.gap
    ADD CONSTRAINT gap_corpus FOREIGN KEY (bot_id) REFERENCES knowledge.corpus(bot_id) ON DELETE CASCADE;

ALTER TABLE ONLY knowledge.snippet
    ADD CONSTRAINT snippet_corpus FOREIGN KEY (bot_id) REFERENCES knowledge.corpus(bot_id) ON DELETE CASCADE;

ALTER TABLE ONLY knowledge.tombstone
    ADD CONSTRAINT tombstone_corpus FOREIGN KEY (bot_id) REFERENCES knowledge.corpus(bot_id) ON DELETE CASCADE;

GRANT USAGE ON SCHEMA audit TO hivemind_auth;
GRANT USAGE ON SCHEMA audit TO hivemind_bots;
GRANT USAGE ON SCHEMA audit TO hivemind_knowledge;

GRANT USAGE ON SCHEMA auth TO hivemind_auth;

GRANT USAGE ON SCHEMA bots TO hivemind_bots;
GRANT USAGE ON SCHEMA bots TO hivemind_knowledge;

GRANT USAGE ON SCHEMA knowledge TO hivemind_knowledge;
GRANT USAGE ON SCHEMA knowledge TO hivemind_bots;

REVOKE ALL ON FUNCTION audit.changes(was jsonb, becomes jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION meta.new_id() FROM PUBLIC;

GRANT SELECT ON TABLE audit.entry TO hivemind_auth;

REVOKE ALL ON FUNCTION audit.record(kind text, who uuid, name text, what text, on_what text, came_out text, from_address text, request text, more jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION audit.record(kind text, who uuid, name text, what text, on_what text, came_out text, from_address text, request text, more jsonb) TO hivemind_auth;
GRANT ALL ON FUNCTION audit.record(kind text, who uuid, name text, what text, on_what text, came_out text, from_address text, request text, more jsonb) TO hivemind_bots;
GRANT ALL ON FUNCTION audit.record(kind text, who uuid, name text, what text, on_what text, came_out text, from_address text, request text, more jsonb) TO hivemind_knowledge;

REVOKE ALL ON FUNCTION audit.record_sql(what text, on_what text, more jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION audit.refuse_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION auth.digest_of_key(key text) FROM PUBLIC;

GRANT SELECT,INSERT ON TABLE auth.first_admin TO hivemind_auth;

REVOKE ALL ON FUNCTION auth.has_admin() FROM PUBLIC;
GRANT ALL ON FUNCTION auth.has_admin() TO hivemind_auth;

REVOKE ALL ON FUNCTION auth.keep_an_admin(besides uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION auth.refuse_user() FROM PUBLIC;

GRANT SELECT,INSERT,UPDATE ON TABLE auth.account TO hivemind_auth;

REVOKE ALL ON FUNCTION auth.revoke_key(of_account auth.account) FROM PUBLIC;

REVOKE ALL ON FUNCTION auth.set_key(of_account auth.account, key text) FROM PUBLIC;

REVOKE ALL ON FUNCTION auth.update_user() FROM PUBLIC;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE bots.bot TO hivemind_bots;

REVOKE ALL ON FUNCTION bots.count_snippets(of_bot uuid, snippets integer) FROM PUBLIC;
GRANT ALL ON FUNCTION bots.count_snippets(of_bot uuid, snippets integer) TO hivemind_knowledge;

REVOKE ALL ON FUNCTION bots.date_archive() FROM PUBLIC;

REVOKE ALL ON FUNCTION bots.note_placeholders(of_bot uuid, names text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bots.note_placeholders(of_bot uuid, names text[]) TO hivemind_knowledge;

REVOKE ALL ON FUNCTION bots.record_sql_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION bots.record_sql_deletion() FROM PUBLIC;

REVOKE ALL ON FUNCTION knowledge.asked(question text, of_language text) FROM PUBLIC;
GRANT ALL ON FUNCTION knowledge.asked(question text, of_language text) TO hivemind_knowledge;

REVOKE ALL ON FUNCTION knowledge.change_snippets(of_bot uuid, removed uuid[], kept jsonb, moment timestamp with time zone, changed_by text) FROM PUBLIC;
GRANT ALL ON FUNCTION knowledge.change_snippets(of_bot uuid, removed uuid[], kept jsonb, moment timestamp with time zone, changed_by text) TO hivemind_bots;

REVOKE ALL ON FUNCTION knowledge.count_placeholders() FROM PUBLIC;

REVOKE ALL ON FUNCTION knowledge.count_words() FROM PUBLIC;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE knowledge.corpus TO hivemind_knowledge;

REVOKE ALL ON FUNCTION knowledge.hold_shelf(of_bot uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION knowledge.hold_shelf(of_bot uuid) TO hivemind_bots;

REVOKE ALL ON FUNCTION knowledge.prepare_vectors() FROM PUBLIC;
GRANT ALL ON FUNCTION knowledge.prepare_vectors() TO hivemind_knowledge;

REVOKE ALL ON FUNCTION knowledge.raise_version(of_bot uuid, added integer, in_language text) FROM PUBLIC;
GRANT ALL ON FUNCTION knowledge.raise_version(of_bot uuid, added integer, in_language text) TO hivemind_knowledge;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE knowledge.snippet TO hivemind_knowledge;

REVOKE ALL ON FUNCTION knowledge.seed_bot(of_bot uuid, snippets jsonb, moment timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION knowledge.seed_bot(of_bot uuid, snippets jsonb, moment timestamp with time zone) TO hivemind_bots;

REVOKE ALL ON FUNCTION knowledge.snippets_of(of_bot uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION knowledge.snippets_of(of_bot uuid) TO hivemind_bots;

REVOKE ALL ON FUNCTION knowledge.want_vector() FROM PUBLIC;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE auth.api_key TO hivemind_auth;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE auth.session TO hivemind_auth;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE auth.sign_in_tries TO hivemind_auth;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE bots.conversation TO hivemind_bots;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE bots.golden_question TO hivemind_bots;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE bots.message TO hivemind_bots;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE bots.prompt_version TO hivemind_bots;

GRANT SELECT,INSERT,DELETE ON TABLE bots.upload TO hivemind_bots;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE knowledge.gap TO hivemind_knowledge;

GRANT SELECT ON TABLE knowledge.light TO hivemind_knowledge;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE knowledge.tombstone TO hivemind_knowledge;

