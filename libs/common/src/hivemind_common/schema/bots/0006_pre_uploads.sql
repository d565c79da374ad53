-- Documents to be applied are larger than a message may be: they come in pieces, and are gone once they were applied.
CREATE TABLE bots.upload (
    id         uuid        NOT NULL,
    place      integer     NOT NULL,
    piece      bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT upload_pkey PRIMARY KEY (id, place)
);
CREATE INDEX upload_created ON bots.upload (created_at);
GRANT SELECT, INSERT, DELETE ON bots.upload TO hivemind_bots;
