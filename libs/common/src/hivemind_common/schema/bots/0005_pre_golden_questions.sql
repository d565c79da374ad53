-- Questions whose answers an operator knows, kept per bot: what a change of prompt, knowledge or model is measured by.
CREATE TABLE bots.golden_question (
    bot_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    question   text        NOT NULL,
    expect     jsonb       NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    changed_by text        NOT NULL,
    CONSTRAINT golden_question_pkey PRIMARY KEY (bot_id, id),
    CONSTRAINT golden_question_bot FOREIGN KEY (bot_id) REFERENCES bots.bot ON DELETE CASCADE,
    CONSTRAINT golden_question_expect CHECK (jsonb_typeof(expect) = 'object')
);
COMMENT ON COLUMN bots.golden_question.expect IS 'what the answer must be: snippets, contains, not_contains, cites, refuses';
GRANT SELECT, INSERT, UPDATE, DELETE ON bots.golden_question TO hivemind_bots;

-- What an operator has still to fill in stands in double braces in the starter knowledge; which, knowledge tells.
ALTER TABLE bots.bot ADD COLUMN placeholders text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN bots.bot.placeholders IS 'names that stand in double braces in its snippets';

CREATE FUNCTION bots.note_placeholders(of_bot uuid, names text[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
    BEGIN ATOMIC
        UPDATE bots.bot SET placeholders = names WHERE id = of_bot AND placeholders <> names;
    END;
REVOKE ALL ON FUNCTION bots.note_placeholders(uuid, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bots.note_placeholders(uuid, text[]) TO hivemind_knowledge;
