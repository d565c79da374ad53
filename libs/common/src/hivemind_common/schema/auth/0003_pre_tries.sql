-- Tries to sign in, by e-mail address and network: ten wrong ones within a quarter of an hour, and that pair has to wait.
-- A row is a digest of both, so that it tells neither, and goes when its last try is old.
CREATE TABLE auth.sign_in_tries (
    pair     bytea         NOT NULL,
    tries    timestamptz[] NOT NULL,
    last_try timestamptz   NOT NULL,
    CONSTRAINT sign_in_tries_pkey PRIMARY KEY (pair)
);
CREATE INDEX sign_in_tries_last ON auth.sign_in_tries (last_try);

GRANT SELECT, INSERT, UPDATE, DELETE ON auth.sign_in_tries TO hivemind_auth;
