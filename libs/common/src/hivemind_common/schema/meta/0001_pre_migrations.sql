-- What has been applied, and which code may run on it.
CREATE TABLE meta.migration (
    owner      text        NOT NULL,
    number     integer     NOT NULL,
    name       text        NOT NULL,
    checksum   bytea       NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT migration_pkey PRIMARY KEY (owner, number)
);

CREATE TABLE meta.state (
    singleton      boolean NOT NULL DEFAULT true,
    schema_version integer NOT NULL,
    oldest_code    integer NOT NULL,
    CONSTRAINT state_pkey PRIMARY KEY (singleton),
    CONSTRAINT state_singleton CHECK (singleton)
);
