-- Format 1. Never change this file: a change of the schema is the next migration.

CREATE TABLE meta (format INTEGER NOT NULL) STRICT;

-- Who owns a shard, and where its entries end. Every commit moves lsn on, where epoch and lsn are as it expects.
CREATE TABLE shard (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    lsn INTEGER NOT NULL
) STRICT;

-- A run's head. It is written when the run is accepted, parks, is woken, fails, ends: not per step.
-- Its last event's number is not kept here: it is the last key of event_by_run.
CREATE TABLE run (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    shard INTEGER NOT NULL,
    project TEXT NOT NULL DEFAULT 'default',
    environment TEXT NOT NULL,
    tenant TEXT NOT NULL,
    deployment BLOB NOT NULL,
    component TEXT NOT NULL,
    format INTEGER NOT NULL,
    abi INTEGER NOT NULL,
    host INTEGER NOT NULL,
    status INTEGER NOT NULL,
    created INTEGER NOT NULL,
    ended INTEGER,
    wake INTEGER,
    idempotency_key TEXT,
    idempotency_digest BLOB,
    state BLOB
) STRICT;
CREATE UNIQUE INDEX run_by_id ON run (id);
CREATE UNIQUE INDEX run_by_idempotency ON run (environment, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- Statuses below 5 are those of unfinished runs, above 5 those that ended without an output.
CREATE INDEX run_unfinished ON run (shard, id) WHERE status < 5;
CREATE INDEX run_without_output ON run (status, id) WHERE status > 5;

-- The journal, in the order of its commits: id is the shard (16 bits) and the entry's number within it (48 bits).
-- nth counts the events of one transition from 0: id - nth names the transition.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    nth INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    at INTEGER NOT NULL,
    delivery BLOB,
    payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX event_by_run ON event (run, seq);

-- What attempts inherit, as differences. Nothing writes it yet.
CREATE TABLE memo (
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    diff BLOB NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

-- Inputs that landed on a node that does not own their run's shard. Nothing writes it yet.
CREATE TABLE inbox (
    shard INTEGER NOT NULL,
    id BLOB NOT NULL,
    run BLOB NOT NULL,
    input BLOB NOT NULL,
    PRIMARY KEY (shard, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE memory_scope (
    number INTEGER PRIMARY KEY,
    project TEXT NOT NULL DEFAULT 'default',
    environment TEXT NOT NULL,
    app TEXT NOT NULL,
    tenant TEXT NOT NULL,
    user TEXT NOT NULL,
    UNIQUE (environment, app, tenant, user, project)
) STRICT;
CREATE TABLE memory (
    number INTEGER PRIMARY KEY,
    scope INTEGER NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (scope, name)
) STRICT;

CREATE TABLE deployment (
    id BLOB PRIMARY KEY,
    project TEXT NOT NULL DEFAULT 'default',
    service TEXT NOT NULL,
    immutable_ref TEXT NOT NULL,
    carrier TEXT NOT NULL,
    abi INTEGER NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    manifest TEXT NOT NULL,
    grants TEXT NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (service, immutable_ref, project)
) STRICT;
CREATE TABLE route (
    environment TEXT NOT NULL,
    component TEXT NOT NULL,
    project TEXT NOT NULL DEFAULT 'default',
    service TEXT NOT NULL,
    deployment BLOB NOT NULL,
    PRIMARY KEY (environment, component, project)
) STRICT, WITHOUT ROWID;
CREATE TABLE secret (
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    project TEXT NOT NULL DEFAULT 'default',
    hosts TEXT NOT NULL,
    sealed BLOB NOT NULL,
    set_at INTEGER NOT NULL,
    PRIMARY KEY (environment, name, project)
) STRICT, WITHOUT ROWID;
CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    project TEXT NOT NULL DEFAULT 'default',
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    environment TEXT NOT NULL,
    scopes TEXT NOT NULL,
    user TEXT NOT NULL,
    created INTEGER NOT NULL,
    revoked INTEGER
) STRICT, WITHOUT ROWID;
