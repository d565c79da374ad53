-- Accounts, the seat of the first admin, sessions and keys. Nothing here can be read by another service.
CREATE TABLE auth.account (
    id              uuid        NOT NULL,
    username        text        NOT NULL,
    email           text        NOT NULL,
    role            text        NOT NULL,
    status          text        NOT NULL DEFAULT 'active',
    password_hash   text,
    created_at      timestamptz NOT NULL,
    last_seen_at    timestamptz,
    CONSTRAINT account_pkey PRIMARY KEY (id),
    CONSTRAINT account_role CHECK (role IN ('admin', 'user')),
    CONSTRAINT account_status CHECK (status IN ('active', 'disabled', 'invited'))
);
CREATE UNIQUE INDEX account_username ON auth.account (lower(username));
CREATE UNIQUE INDEX account_email ON auth.account (lower(email));

-- One row for ever, in the transaction that makes the first admin: of any number of racers one gets it.
CREATE TABLE auth.first_admin (
    singleton  boolean     NOT NULL DEFAULT true,
    account_id uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT first_admin_pkey PRIMARY KEY (singleton),
    CONSTRAINT first_admin_singleton CHECK (singleton),
    CONSTRAINT first_admin_account FOREIGN KEY (account_id) REFERENCES auth.account
);

CREATE FUNCTION auth.has_admin() RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (SELECT FROM auth.first_admin);

CREATE TABLE auth.session (
    id           uuid        NOT NULL,
    account_id   uuid        NOT NULL,
    digest       bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    address      text        NOT NULL,
    user_agent   text        NOT NULL,
    CONSTRAINT session_pkey PRIMARY KEY (id),
    CONSTRAINT session_digest UNIQUE (digest),
    CONSTRAINT session_account FOREIGN KEY (account_id) REFERENCES auth.account ON DELETE CASCADE
);
CREATE INDEX session_of_account ON auth.session (account_id);

CREATE TABLE auth.api_key (
    id           uuid        NOT NULL,
    account_id   uuid        NOT NULL,
    digest       bytea       NOT NULL,
    prefix       text        NOT NULL,
    name         text        NOT NULL,
    scopes       text[],
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT api_key_pkey PRIMARY KEY (id),
    CONSTRAINT api_key_digest UNIQUE (digest),
    CONSTRAINT api_key_account FOREIGN KEY (account_id) REFERENCES auth.account ON DELETE CASCADE
);
CREATE INDEX api_key_of_account ON auth.api_key (account_id);
COMMENT ON COLUMN auth.api_key.scopes IS 'null: all that the role of the account may';

GRANT USAGE ON SCHEMA auth TO hivemind_auth;
GRANT SELECT, INSERT, UPDATE ON auth.account TO hivemind_auth;
GRANT SELECT, INSERT ON auth.first_admin TO hivemind_auth;
GRANT SELECT, INSERT, UPDATE, DELETE ON auth.session, auth.api_key TO hivemind_auth;
REVOKE ALL ON FUNCTION auth.has_admin() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth.has_admin() TO hivemind_auth;
