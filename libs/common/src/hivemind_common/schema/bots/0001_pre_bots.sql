-- Profiles, the versions of their prompts, and conversations.
CREATE TABLE bots.bot (
    id                         uuid        NOT NULL,
    slug                       text        NOT NULL COLLATE "C",
    name                       text        NOT NULL,
    description                text        NOT NULL,
    tier                       text        NOT NULL,
    status                     text        NOT NULL DEFAULT 'active',
    provider                   text,
    model                      text,
    fallbacks                  jsonb       NOT NULL,
    max_output_tokens          integer     NOT NULL,
    temperature                double precision,
    cost_cap_day_micro_usd     bigint,
    cost_cap_month_micro_usd   bigint,
    rate_limit_per_minute      integer,
    user_rate_limit_per_minute integer,
    grounding                  text        NOT NULL,
    strictness                 text        NOT NULL,
    knowledge_search_enabled   boolean     NOT NULL,
    channel_reply_mode         text        NOT NULL,
    allowed_users              uuid[]      NOT NULL,
    allowed_origins            text[]      NOT NULL,
    allow_hosted_provider      boolean     NOT NULL,
    retention_days             integer,
    version                    integer     NOT NULL,
    pinned_version             integer,
    snippet_count              integer     NOT NULL DEFAULT 0,
    created_at                 timestamptz NOT NULL,
    updated_at                 timestamptz NOT NULL,
    CONSTRAINT bot_pkey PRIMARY KEY (id),
    CONSTRAINT bot_slug UNIQUE (slug),
    CONSTRAINT bot_slug_form CHECK (slug ~ '^[a-z0-9][a-z0-9-]{1,30}[a-z0-9]$'),
    CONSTRAINT bot_tier CHECK (tier IN ('public', 'internal', 'restricted')),
    CONSTRAINT bot_status CHECK (status IN ('active', 'paused', 'archived')),
    CONSTRAINT bot_grounding CHECK (grounding IN ('grounded', 'open')),
    CONSTRAINT bot_strictness CHECK (strictness IN ('lenient', 'normal', 'strict')),
    CONSTRAINT bot_channel_reply_mode CHECK (channel_reply_mode IN ('dm_only', 'channel_mention', 'both')),
    CONSTRAINT bot_snippet_count CHECK (snippet_count >= 0)
);

CREATE TABLE bots.prompt_version (
    bot_id        uuid        NOT NULL,
    version       integer     NOT NULL,
    system_prompt text        NOT NULL,
    note          text        NOT NULL,
    author        text        NOT NULL,
    created_at    timestamptz NOT NULL,
    CONSTRAINT prompt_version_pkey PRIMARY KEY (bot_id, version),
    CONSTRAINT prompt_version_bot FOREIGN KEY (bot_id) REFERENCES bots.bot ON DELETE CASCADE
);
ALTER TABLE bots.bot
    ADD CONSTRAINT bot_live_version FOREIGN KEY (id, version) REFERENCES bots.prompt_version (bot_id, version)
    DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE bots.conversation (
    bot_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    speaker    text        NOT NULL,
    title      text        NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT conversation_pkey PRIMARY KEY (bot_id, id),
    CONSTRAINT conversation_bot FOREIGN KEY (bot_id) REFERENCES bots.bot ON DELETE CASCADE
);
COMMENT ON COLUMN bots.conversation.speaker IS 'whose it is: an account, or the asker of another kind; nobody else may know of it';

CREATE TABLE bots.message (
    bot_id          uuid        NOT NULL,
    conversation_id uuid        NOT NULL,
    id              uuid        NOT NULL,
    role            text        NOT NULL,
    text            text        NOT NULL,
    answer          jsonb,
    created_at      timestamptz NOT NULL,
    CONSTRAINT message_pkey PRIMARY KEY (bot_id, id),
    CONSTRAINT message_role CHECK (role IN ('user', 'assistant')),
    CONSTRAINT message_conversation FOREIGN KEY (bot_id, conversation_id) REFERENCES bots.conversation ON DELETE CASCADE
);
CREATE INDEX message_of_conversation ON bots.message (bot_id, conversation_id, id);
COMMENT ON COLUMN bots.message.answer IS 'of an assistant: citations, provider, model, usage and so on, as they were told';

-- The one thing that knowledge may change here: how many snippets a bot has, and with the first one its search.
CREATE FUNCTION bots.count_snippets(of_bot uuid, snippets integer) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
    BEGIN ATOMIC
        UPDATE bots.bot
           SET snippet_count = snippets,
               knowledge_search_enabled = knowledge_search_enabled OR (snippet_count = 0 AND snippets > 0)
         WHERE id = of_bot;
    END;

GRANT USAGE ON SCHEMA bots TO hivemind_bots;
GRANT SELECT, INSERT, UPDATE, DELETE ON bots.bot, bots.prompt_version, bots.conversation, bots.message TO hivemind_bots;
GRANT USAGE ON SCHEMA bots TO hivemind_knowledge;
REVOKE ALL ON FUNCTION bots.count_snippets(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bots.count_snippets(uuid, integer) TO hivemind_knowledge;
