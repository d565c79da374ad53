-- What operators set by SQL: `UPDATE users SET api_key = 'hm-…' WHERE username = 'ada'` and its like. The database hashes
-- the key itself, so that it is kept nowhere as it is, and every change is an entry of the audit log.
COMMENT ON COLUMN auth.api_key.prefix IS 'what of the key may be shown; empty for the one key of an account that was set by SQL';
CREATE UNIQUE INDEX api_key_set_by_sql ON auth.api_key (account_id) WHERE prefix = '';

CREATE VIEW public.users AS
SELECT account.id, account.username, account.email, account.role, account.status,
       CASE WHEN EXISTS (SELECT FROM auth.api_key AS key
                          WHERE key.account_id = account.id AND key.prefix = '' AND key.revoked_at IS NULL)
            THEN '(set)' END AS api_key,
       account.created_at,
       greatest(account.last_seen_at,
                (SELECT max(session.last_seen_at) FROM auth.session WHERE session.account_id = account.id),
                (SELECT max(key.last_used_at) FROM auth.api_key AS key WHERE key.account_id = account.id)) AS last_seen_at
  FROM auth.account;
COMMENT ON VIEW public.users IS 'for operators: username, email, role, status and api_key can be set';
COMMENT ON COLUMN public.users.api_key IS
    'write only; shows (set) or nothing, and never a key. Setting it replaces the key that was set here before, null revokes it';

-- What a key is found by: SHA-256 of the whole of it, as the door computes it. Refuses what could never come in there.
CREATE FUNCTION auth.digest_of_key(key text) RETURNS bytea
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
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

-- Called before an active admin is demoted, disabled or removed. Whoever does that writes the same row first: of two at
-- once the second waits, and then sees what the first has left.
CREATE FUNCTION auth.keep_an_admin(besides uuid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    UPDATE auth.first_admin SET singleton = singleton;
    IF NOT EXISTS (SELECT FROM auth.account WHERE role = 'admin' AND status = 'active' AND id <> besides) THEN
        RAISE EXCEPTION 'the last active admin stays one'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'last_admin', HINT = 'make somebody else an admin first';
    END IF;
END $$;

CREATE FUNCTION auth.set_key(of_account auth.account, key text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
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

CREATE FUNCTION auth.revoke_key(of_account auth.account) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
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

CREATE FUNCTION auth.update_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
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
END $$;

CREATE FUNCTION auth.refuse_user() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION 'accounts are not made by SQL' USING ERRCODE = 'feature_not_supported';
    END IF;
    RAISE EXCEPTION 'accounts are not deleted by SQL'
        USING ERRCODE = 'feature_not_supported', HINT = 'UPDATE users SET status = ''disabled'' WHERE username = …';
END $$;

CREATE TRIGGER users_update INSTEAD OF UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION auth.update_user();
CREATE TRIGGER users_refused INSTEAD OF INSERT OR DELETE ON public.users FOR EACH ROW EXECUTE FUNCTION auth.refuse_user();

-- New functions may be called by everybody unless one says otherwise; and a database that comes from before Postgres 15
-- may still let everybody make tables in public, where a name could stand in for one of ours.
REVOKE ALL ON FUNCTION auth.digest_of_key(text), auth.keep_an_admin(uuid), auth.set_key(auth.account, text),
    auth.revoke_key(auth.account), auth.update_user(), auth.refuse_user() FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
