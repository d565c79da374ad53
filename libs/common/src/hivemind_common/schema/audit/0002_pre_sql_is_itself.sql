-- Only a role itself acts by SQL: a service cannot put an operator's name on what it writes.
ALTER TABLE audit.entry ADD CONSTRAINT entry_sql_actor CHECK (actor_kind <> 'sql' OR actor_name = written_by);
