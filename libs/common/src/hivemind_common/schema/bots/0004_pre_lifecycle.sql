-- A bot that is archived keeps everything for 30 days, and comes back as it was: active or paused.
ALTER TABLE bots.bot
    ADD COLUMN archived_at timestamptz,
    ADD COLUMN was_paused boolean NOT NULL DEFAULT false,
    ADD COLUMN changed_by text NOT NULL DEFAULT '';
COMMENT ON COLUMN bots.bot.archived_at IS 'since when, of an archived bot';
COMMENT ON COLUMN bots.bot.was_paused IS 'of an archived bot: whether it comes back paused';
COMMENT ON COLUMN bots.bot.version IS 'the newest version of the prompt; the live one where none is pinned';
UPDATE bots.bot SET archived_at = now() WHERE status = 'archived';
CREATE INDEX bot_archived ON bots.bot (archived_at) WHERE archived_at IS NOT NULL;

-- Whoever archives a bot, by SQL too, says since when by doing so.
CREATE FUNCTION bots.date_archive() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
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
REVOKE ALL ON FUNCTION bots.date_archive() FROM PUBLIC;
CREATE TRIGGER bot_archive_dated BEFORE UPDATE OF status ON bots.bot
    FOR EACH ROW EXECUTE FUNCTION bots.date_archive();

-- What the API refuses, the database refuses too: a value that was set by SQL is read by every service.
ALTER TABLE bots.bot
    ADD CONSTRAINT bot_archived_since CHECK ((status = 'archived') = (archived_at IS NOT NULL)),
    ADD CONSTRAINT bot_name CHECK (name = btrim(name) AND char_length(name) BETWEEN 1 AND 80),
    ADD CONSTRAINT bot_description CHECK (char_length(description) <= 500),
    ADD CONSTRAINT bot_max_output_tokens CHECK (max_output_tokens BETWEEN 1 AND 32768),
    ADD CONSTRAINT bot_temperature CHECK (temperature BETWEEN 0 AND 2),
    ADD CONSTRAINT bot_cost_cap_day CHECK (cost_cap_day_micro_usd BETWEEN 0 AND 1000000000000),
    ADD CONSTRAINT bot_cost_cap_month CHECK (cost_cap_month_micro_usd BETWEEN 0 AND 1000000000000),
    ADD CONSTRAINT bot_rate_limit CHECK (rate_limit_per_minute BETWEEN 1 AND 100000),
    ADD CONSTRAINT bot_user_rate_limit CHECK (user_rate_limit_per_minute BETWEEN 1 AND 100000),
    ADD CONSTRAINT bot_retention_days CHECK (retention_days BETWEEN 1 AND 3650),
    ADD CONSTRAINT bot_pinned_version FOREIGN KEY (id, pinned_version) REFERENCES bots.prompt_version (bot_id, version)
        DEFERRABLE INITIALLY DEFERRED;
