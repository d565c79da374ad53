-- UUIDv7 (RFC 9562) for the rows that the database makes by itself; all others bring theirs along.
CREATE FUNCTION meta.new_id() RETURNS uuid
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        -- A random UUIDv4 whose first 48 bits become the milliseconds of now, and whose version becomes 7.
        SELECT encode(set_bit(set_bit(
                   overlay(uuid_send(gen_random_uuid())
                           PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                           FROM 1 FOR 6),
                   52, 1), 53, 1), 'hex')::uuid;
    END;
REVOKE ALL ON FUNCTION meta.new_id() FROM PUBLIC;
