-- What is a word, the same in a snippet and in a question: words of names in code, of part numbers and of addresses are
-- words, and so is what they are together; scripts without blanks between words are read in pairs of characters.

CREATE FUNCTION knowledge.pairs_of(text text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog
    RETURN (
        SELECT string_agg(
                   CASE WHEN piece[2] IS NULL THEN piece[1]
                        ELSE (SELECT ' ' || string_agg(substr(piece[2], place, 2), ' ') || ' '
                                FROM generate_series(1, greatest(length(piece[2]) - 1, 1)) AS place) END,
                   '' ORDER BY number)
          FROM regexp_matches(
                   text,
                   U&'([^\0E00-\0E7F\1100-\11FF\3005-\3007\3031-\3035\3040-\30FA\30FC-\312F\3400-\4DBF\4E00-\9FFF\AC00-\D7FF\F900-\FAFF]+)'
                   '|([\0E00-\0E7F\1100-\11FF\3005-\3007\3031-\3035\3040-\30FA\30FC-\312F\3400-\4DBF\4E00-\9FFF\AC00-\D7FF\F900-\FAFF]+)',
                   'g') WITH ORDINALITY AS found (piece, number)
    );

CREATE FUNCTION knowledge.words_of(text text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog
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
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog
    RETURN setweight(to_tsvector(knowledge.configuration_of(language), knowledge.words_of(title)), 'A')
        || setweight(to_tsvector(knowledge.configuration_of(language), knowledge.words_of(body)), 'D');

-- How many words a title and a body have, as far as they are kept.
CREATE FUNCTION knowledge.lengths_of(lexemes tsvector, OUT title integer, OUT body integer)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog
    AS $$
SELECT count(*) FILTER (WHERE weight = 'A'), count(*) FILTER (WHERE weight = 'D')
  FROM unnest(lexemes) AS word, unnest(word.weights) AS weight
$$;

DROP INDEX knowledge.snippet_lexemes;
ALTER TABLE knowledge.snippet
    DROP COLUMN lexemes,
    ADD COLUMN lexemes tsvector NOT NULL GENERATED ALWAYS AS (knowledge.lexemes_of(language, title, body)) STORED,
    ADD COLUMN language_given boolean NOT NULL DEFAULT true,
    ADD COLUMN changed_by text NOT NULL DEFAULT '';
COMMENT ON COLUMN knowledge.snippet.language IS 'none: English; und: none that we know';
COMMENT ON COLUMN knowledge.snippet.language_given IS 'false: it was detected, and will be again when the text changes';
CREATE INDEX snippet_lexemes ON knowledge.snippet USING gin (knowledge.scoped(bot_id, tsvector_to_array(lexemes)));

-- What the ranking has to know of a corpus as a whole, kept by whoever writes a snippet.
ALTER TABLE knowledge.corpus
    ADD COLUMN title_words bigint NOT NULL DEFAULT 0,
    ADD COLUMN body_words bigint NOT NULL DEFAULT 0,
    ADD COLUMN forgotten bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN knowledge.corpus.forgotten IS 'the version up to which tombstones may be gone: an index behind it is built anew';

UPDATE knowledge.corpus
   SET title_words = known.title, body_words = known.body
  FROM (SELECT bot_id, sum(length.title) AS title, sum(length.body) AS body
          FROM knowledge.snippet, knowledge.lengths_of(lexemes) AS length GROUP BY bot_id) AS known
 WHERE known.bot_id = corpus.bot_id;

CREATE FUNCTION knowledge.count_words() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
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
CREATE TRIGGER snippet_words_added AFTER INSERT ON knowledge.snippet
    REFERENCING NEW TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_words('more');
CREATE TRIGGER snippet_words_removed AFTER DELETE ON knowledge.snippet
    REFERENCING OLD TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_words('less');
CREATE TRIGGER snippet_words_old AFTER UPDATE ON knowledge.snippet
    REFERENCING OLD TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_words('less');
CREATE TRIGGER snippet_words_new AFTER UPDATE ON knowledge.snippet
    REFERENCING NEW TABLE AS these FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_words('more');

-- Words that questions and greetings are made of, beside those of the stop lists: they count little, and find nothing alone.
CREATE TABLE knowledge.light (
    language text NOT NULL,
    word     text NOT NULL,
    CONSTRAINT light_pkey PRIMARY KEY (language, word)
);
INSERT INTO knowledge.light (language, word)
SELECT DISTINCT language, word
  FROM (VALUES
    ('en', 'hi hello hey dear please thanks thank thx cheers could would should shall may might must cannot im ive id '
           'let lets want wants need needs know tell explain anybody anyone somebody someone something anything way '
           'possible help question wondering wonder whether also get got much many often'),
    ('de', 'hallo hi hey moin servus guten tag morgen abend bitte danke vielen dank wer wen wem wessen was wann wo wohin '
           'woher wie wieso weshalb warum wieviel wieviele welche welcher welches welchen kann können könnte könnten '
           'möchte möchten muss müssen darf dürfen soll sollen gibt geht gehen wissen frage jemand irgendwie hilfe oft viel viele'),
    ('fr', 'bonjour bonsoir salut merci svp plaît plait stp qui que quoi quand où ou comment pourquoi combien quel quelle '
           'quels quelles peut peux pouvez puis pourrait voudrais veux faut dois doit faire fait question aide souvent beaucoup'),
    ('es', 'hola buenos buenas días tardes gracias favor quién quien qué cuándo cuando dónde donde cómo como por cuánto '
           'cuántos cuál cuáles puedo puede pueden podría quiero quisiera necesito debo debe hay hacer pregunta ayuda mucho'),
    ('it', 'ciao salve buongiorno buonasera grazie prego favore chi che cosa quando dove come perché quanto quanti quale '
           'quali posso può possono potrei vorrei devo deve bisogna fare domanda aiuto molto'),
    ('pt', 'olá oi bom dia boa tarde noite obrigado obrigada favor quem que quê quando onde como porque porquê por quanto '
           'quantos qual quais posso pode podem poderia quero gostaria preciso devo deve há fazer pergunta ajuda muito'),
    ('nl', 'hallo hoi hey goedemorgen goedemiddag goedenavond dag bedankt dank alsjeblieft alstublieft graag wie wat '
           'wanneer waar waarom hoe hoeveel welke welk kan kunnen kun zou zouden moet moeten mag wil willen vraag hulp vaak veel'),
    ('da', 'hej goddag tak venligst hvem hvad hvornår hvor hvorfor hvordan hvilken hvilket hvilke kan kunne skal skulle vil '
           'må spørgsmål hjælp'),
    ('sv', 'hej tack snälla vem vad när var varför hur vilken vilket vilka kan kunde ska skulle vill måste fråga hjälp'),
    ('no', 'hei takk vennligst hvem hva når hvor hvorfor hvordan hvilken hvilket hvilke kan kunne skal skulle vil må '
           'spørsmål hjelp'),
    ('fi', 'hei moi terve kiitos ole hyvä kuka mikä mitä milloin missä miksi miten kuinka voiko voinko voin pitää pitäisi '
           'haluan kysymys apua'),
    ('ru', 'привет здравствуйте добрый день спасибо пожалуйста кто что когда где куда почему зачем как сколько какой какая '
           'какие можно могу нужно надо вопрос помощь'),
    ('und', 'です ます した して から ので ませ せん んか すか か？ ださ くだ さい とは どう うす どの よう 何で なに 教え 什么 怎么 如何 请问 可以 '
            '吗 呢 为什 是什 하나 나요 습니 니다 니까 어떻 떻게 무엇')
  ) AS list (language, words), regexp_split_to_table(words, ' +') AS word;

-- What is asked: each word of a question with its lexemes in one language; light where all texts of that language share it.
CREATE FUNCTION knowledge.asked(question text, of_language text)
    RETURNS TABLE (place bigint, word text, lexemes text[], is_light boolean)
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

-- Every write to a corpus begins here. What is edited may be in a language that is new here.
CREATE OR REPLACE FUNCTION knowledge.raise_version(of_bot uuid, added integer, in_language text) RETURNS bigint
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
           languages = CASE WHEN added < 0 OR coalesce(in_language, 'en') = ANY (corpus.languages)
                                 THEN corpus.languages
                            ELSE corpus.languages || coalesce(in_language, 'en') END
    RETURNING * INTO now_at;
    IF added <> 0 THEN
        PERFORM bots.count_snippets(of_bot, now_at.snippet_count);
    END IF;
    RETURN now_at.version;
END $$;

-- Questions that a bot had no answer to, counted by what they ask for.
CREATE TABLE knowledge.gap (
    bot_id         uuid        NOT NULL,
    id             uuid        NOT NULL,
    words          bytea       NOT NULL,
    question       text        NOT NULL,
    asked          integer     NOT NULL,
    last_asked_at  timestamptz NOT NULL,
    CONSTRAINT gap_pkey PRIMARY KEY (bot_id, id),
    CONSTRAINT gap_words UNIQUE (bot_id, words),
    CONSTRAINT gap_corpus FOREIGN KEY (bot_id) REFERENCES knowledge.corpus ON DELETE CASCADE
);
COMMENT ON COLUMN knowledge.gap.words IS 'a digest of the lexemes that count';
CREATE INDEX gap_asked ON knowledge.gap (bot_id, last_asked_at);

GRANT SELECT ON knowledge.light TO hivemind_knowledge;
GRANT SELECT, INSERT, UPDATE, DELETE ON knowledge.gap TO hivemind_knowledge;
REVOKE ALL ON FUNCTION knowledge.count_words() FROM PUBLIC;
REVOKE ALL ON FUNCTION knowledge.asked(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION knowledge.asked(text, text) TO hivemind_knowledge;
