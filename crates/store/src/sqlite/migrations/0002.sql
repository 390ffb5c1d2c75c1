-- Format 2: whose run it is, and in which session, so that an agent's tasks can be listed for their owner.
-- Runs of format 1 are nobody's tasks: there were no agents.

ALTER TABLE run ADD COLUMN user TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN session TEXT NOT NULL DEFAULT '';
-- When the head was last written.
ALTER TABLE run ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
-- What is said beside the status: 0 nothing, 1 it waits for an answer, 2 it was rejected.
ALTER TABLE run ADD COLUMN aspect INTEGER NOT NULL DEFAULT 0;
UPDATE run SET changed = coalesce(ended, created);
-- Agents only: the runs of other components pay nothing for it.
CREATE INDEX run_by_owner ON run (environment, component, tenant, user, changed, id)
    WHERE component >= 'agent/' AND component < 'agent0';
