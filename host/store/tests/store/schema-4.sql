-- A data folder of schema 4 with a row of most kinds. Never edited: a later schema adds a dump of its own.
PRAGMA foreign_keys = OFF;
PRAGMA application_id = 1213420620;
PRAGMA user_version = 4;
BEGIN TRANSACTION;
CREATE TABLE attempt (
    run_key     INTEGER NOT NULL REFERENCES run (key),
    task        INTEGER NOT NULL,
    item        INTEGER NOT NULL DEFAULT 0,
    attempt     INTEGER NOT NULL CHECK (attempt >= 1),
    epoch       INTEGER NOT NULL,
    executor    TEXT    NOT NULL,
    instance    TEXT    NOT NULL,
    digest      TEXT,
    status      TEXT    NOT NULL CHECK (status = 'starting' OR status = 'running' OR status = 'ended'),
    begun_at    INTEGER NOT NULL,
    started_at  INTEGER,
    ended_at    INTEGER,
    exit        TEXT,
    log_first   INTEGER NOT NULL DEFAULT 0,
    log_end     INTEGER NOT NULL DEFAULT 0,
    log_bytes   INTEGER NOT NULL DEFAULT 0,
    log_dropped INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_key, task, item, attempt),
    CHECK ((status = 'ended') = (exit IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO "attempt" VALUES(2,0,0,1,4,'process','local',NULL,'starting',1700000000001,NULL,NULL,NULL,0,0,0,0);
CREATE TABLE event (
    cursor          INTEGER PRIMARY KEY AUTOINCREMENT,
    at              INTEGER NOT NULL,
    namespace_id    INTEGER NOT NULL,
    kind            TEXT    NOT NULL,
    pipeline_key    INTEGER,
    run_key         INTEGER,
    task            INTEGER,
    item            INTEGER,
    attempt         INTEGER,
    subscription_id INTEGER,
    actor_kind      TEXT    NOT NULL CHECK (actor_kind = 'token' OR actor_kind = 'subscription' OR actor_kind = 'host'),
    actor_name      TEXT    NOT NULL,
    data            TEXT
) STRICT;
INSERT INTO "event" VALUES(1,1700000000000,1,'run.created',1,1,NULL,NULL,NULL,NULL,'token','first',NULL);
CREATE TABLE fire (
    subscription_id INTEGER NOT NULL REFERENCES subscription (id),
    at              INTEGER NOT NULL,
    decided_at      INTEGER NOT NULL,
    decision        TEXT    NOT NULL CHECK (decision = 'start' OR decision = 'skip' OR decision = 'missed'),
    status          TEXT    NOT NULL CHECK (status = 'open' OR status = 'done' OR status = 'failed'),
    note            TEXT,
    failures        INTEGER NOT NULL DEFAULT 0,
    runs            INTEGER NOT NULL DEFAULT 0,
    ended_at        INTEGER,
    PRIMARY KEY (subscription_id, at)
) STRICT, WITHOUT ROWID;
INSERT INTO "fire" VALUES(1,1700000000000,1700000000004,'start','done',NULL,0,1,1700000000009);
CREATE TABLE idempotency (
    namespace_id INTEGER NOT NULL REFERENCES namespace (id),
    actor        TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    fingerprint  BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    run_key      INTEGER NOT NULL REFERENCES run (key),
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (namespace_id, actor, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE kv (
    plugin       TEXT    NOT NULL,
    namespace_id INTEGER NOT NULL REFERENCES namespace (id),
    scope        TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    value        BLOB    NOT NULL,
    -- Of key and value as the plugin sees them.
    bytes        INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    PRIMARY KEY (plugin, namespace_id, scope, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE kv_usage (
    plugin       TEXT    NOT NULL,
    namespace_id INTEGER NOT NULL REFERENCES namespace (id),
    bytes        INTEGER NOT NULL CHECK (bytes >= 0),
    -- Versions only rise, also over a delete: a key that went and came back is not the one that was read.
    last_version INTEGER NOT NULL,
    PRIMARY KEY (plugin, namespace_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('created_at',1700000000000);
INSERT INTO "meta" VALUES('epoch',4);
INSERT INTO "meta" VALUES('host_id','018bcfe5-6800-7000-8000-000000000001');
CREATE TABLE namespace (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO "namespace" VALUES(1,'default');
CREATE TABLE pipeline (
    key              INTEGER PRIMARY KEY,
    namespace_id     INTEGER NOT NULL REFERENCES namespace (id),
    id               TEXT    NOT NULL,
    name             TEXT,
    created_at       INTEGER NOT NULL,
    released_version INTEGER,
    latest_version   INTEGER NOT NULL DEFAULT 0,
    next_number      INTEGER NOT NULL DEFAULT 1,
    deleted_at       INTEGER
) STRICT;
INSERT INTO "pipeline" VALUES(1,1,'hello','Hello',1700000000000,1,1,3,NULL);
CREATE TABLE plugin (
    namespace_id    INTEGER NOT NULL REFERENCES namespace (id),
    name            TEXT    NOT NULL,
    -- As the operator named it: a reference, `file:NAME`, `builtin:NAME`.
    source          TEXT    NOT NULL,
    -- Of the artifact in the registry's layout; NULL for one of the binary's own.
    manifest_digest TEXT,
    -- Of the component: what the grants were given to.
    digest          TEXT    NOT NULL,
    version         TEXT    NOT NULL,
    manifest        TEXT    NOT NULL,
    grants          TEXT    NOT NULL,
    settings        TEXT    NOT NULL,
    limits          TEXT    NOT NULL,
    signer          TEXT,
    status          TEXT    NOT NULL CHECK (status = 'active' OR status = 'disabled' OR status = 'quarantined'),
    reason          TEXT,
    installed_at    INTEGER NOT NULL,
    actor_kind      TEXT    NOT NULL CHECK (actor_kind = 'token' OR actor_kind = 'subscription' OR actor_kind = 'host'),
    actor_name      TEXT    NOT NULL,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (namespace_id, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "plugin" VALUES(1,'tide','registry.example/acme/tide:1','sha256:aa','sha256:bb','1.0.0','{}','{}','{}','{}',NULL,'active',NULL,1700000000000,'token','admin',1700000000000);
CREATE TABLE run (
    key               INTEGER PRIMARY KEY,
    id                BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    namespace_id      INTEGER NOT NULL REFERENCES namespace (id),
    pipeline_key      INTEGER NOT NULL,
    version           INTEGER NOT NULL,
    number            INTEGER NOT NULL,
    definition_digest TEXT    NOT NULL,
    status            TEXT    NOT NULL CHECK (
        status = 'queued' OR status = 'running' OR status = 'cancelling' OR
        status = 'success' OR status = 'failed' OR status = 'cancelled' OR
        status = 'timed_out'),
    cause             TEXT,
    cancel_reason     TEXT CHECK (
        cancel_reason = 'fail_fast' OR cancel_reason = 'user' OR
        cancel_reason = 'superseded' OR cancel_reason = 'timeout' OR
        cancel_reason = 'shutdown' OR cancel_reason = 'kill'),
    params            TEXT    NOT NULL,
    attributes        TEXT    NOT NULL,
    summary           TEXT,
    created_at        INTEGER NOT NULL,
    started_at        INTEGER,
    ended_at          INTEGER,
    deadline          INTEGER,
    created_by_kind   TEXT    NOT NULL CHECK (created_by_kind = 'token' OR created_by_kind = 'subscription' OR
        created_by_kind = 'host'),
    created_by_name   TEXT    NOT NULL,
    cancelled_by_kind TEXT CHECK (cancelled_by_kind = 'token' OR cancelled_by_kind = 'subscription' OR
        cancelled_by_kind = 'host'),
    cancelled_by_name TEXT,
    subscription_id   INTEGER REFERENCES subscription (id),
    fire_at           INTEGER,
    fire_key          TEXT,
    retry_of          INTEGER REFERENCES run (key),
    parent_run        INTEGER REFERENCES run (key),
    parent_task       INTEGER,
    parent_item       INTEGER,
    -- NULL: it is its own root.
    root_run          INTEGER REFERENCES run (key),
    depth             INTEGER NOT NULL CHECK (depth >= 0),
    trust             TEXT    NOT NULL CHECK (trust IN ('trusted', 'untrusted')),
    log_bytes         INTEGER NOT NULL DEFAULT 0,
    tasks_total       INTEGER NOT NULL,
    FOREIGN KEY (pipeline_key, version) REFERENCES version (pipeline_key, version),
    CHECK ((subscription_id IS NULL) = (fire_at IS NULL) AND (fire_at IS NULL) = (fire_key IS NULL)),
    CHECK ((parent_run IS NULL) = (parent_task IS NULL) AND (parent_run IS NULL) = (parent_item IS NULL)),
    CHECK (((status = 'queued' OR status = 'running' OR status = 'cancelling')) = (ended_at IS NULL))
) STRICT;
INSERT INTO "run" VALUES(1,X'018BCFE5680070008000000000000001',1,1,1,1,'sha256:0','success','{"why":"all_done","failed":null}',NULL,'{}','{}',NULL,1700000000000,1700000000001,1700000000009,NULL,'token','first',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,'trusted',0,1);
INSERT INTO "run" VALUES(2,X'018BCFE5680070008000000000000002',1,1,1,2,'sha256:0','running','{"why":"ready"}',NULL,'{}','{}',NULL,1700000000000,1700000000001,NULL,NULL,'subscription','1',NULL,NULL,1,1700000000000,'0',NULL,NULL,NULL,NULL,NULL,0,'trusted',0,1);
CREATE TABLE secret (
    namespace_id INTEGER NOT NULL REFERENCES namespace (id),
    name         TEXT    NOT NULL,
    -- Only rises, also over a delete, so that no two values were ever one version.
    last_version INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    actor_kind   TEXT    NOT NULL CHECK (actor_kind = 'token' OR actor_kind = 'subscription' OR actor_kind = 'host'),
    actor_name   TEXT    NOT NULL,
    deleted_at   INTEGER,
    PRIMARY KEY (namespace_id, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "secret" VALUES(1,'token',2,1700000000000,1700000000000,'token','admin',NULL);
CREATE TABLE secret_version (
    namespace_id INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    -- Sealed.
    value        BLOB    NOT NULL,
    -- An older value counts until then; NULL: until it is replaced.
    until        INTEGER,
    PRIMARY KEY (namespace_id, name, version),
    FOREIGN KEY (namespace_id, name) REFERENCES secret (namespace_id, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "secret_version" VALUES(1,'token',2,X'00112233',NULL);
CREATE TABLE subscription (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace_id       INTEGER NOT NULL REFERENCES namespace (id),
    pipeline_key       INTEGER NOT NULL REFERENCES pipeline (key),
    plugin             TEXT    NOT NULL,
    label              TEXT    NOT NULL,
    params             TEXT    NOT NULL,
    run_params         TEXT    NOT NULL,
    status             TEXT    NOT NULL CHECK (status = 'active' OR status = 'paused' OR status = 'error'),
    overlap            TEXT    NOT NULL CHECK (overlap = 'skip' OR overlap = 'queue' OR overlap = 'allow' OR
        overlap = 'cancel_running'),
    queue_max          INTEGER NOT NULL CHECK (queue_max >= 0),
    catch_up           TEXT    NOT NULL CHECK (catch_up = 'none' OR catch_up = 'latest' OR catch_up = 'all'),
    catch_up_window_ms INTEGER NOT NULL CHECK (catch_up_window_ms >= 0),
    catch_up_cap       INTEGER NOT NULL CHECK (catch_up_cap >= 0),
    jitter_ms          INTEGER NOT NULL CHECK (jitter_ms >= 0),
    next_at            INTEGER,
    due_at             INTEGER,
    again_at           INTEGER,
    ends               INTEGER NOT NULL CHECK (ends IN (0, 1)),
    mark_at            INTEGER NOT NULL,
    note               TEXT,
    error              TEXT,
    created_at         INTEGER NOT NULL,
    actor_kind         TEXT    NOT NULL CHECK (actor_kind = 'token' OR actor_kind = 'subscription' OR actor_kind = 'host'),
    actor_name         TEXT    NOT NULL,
    updated_at         INTEGER NOT NULL,
    deleted_at         INTEGER, narrowing TEXT,
    -- A deleted one waits for nothing, so the indexes of what waits need not look at deleted_at.
    CHECK (deleted_at IS NULL OR (due_at IS NULL AND ends = 1))
) STRICT;
INSERT INTO "subscription" VALUES(1,1,1,'interval','every-five','{"every":"5m"}','{}','active','skip',1,'latest',3600000,10,0,1700000300000,1700000300000,NULL,0,1700000000000,NULL,NULL,1700000000000,'token','first',1700000000000,NULL,'{"http":[]}');
CREATE TABLE task (
    run_key    INTEGER NOT NULL REFERENCES run (key),
    task       INTEGER NOT NULL,
    item       INTEGER NOT NULL DEFAULT 0,
    status     TEXT    NOT NULL CHECK (
        status = 'starting' OR status = 'running' OR status = 'backoff' OR
        status = 'stopping' OR status = 'cancelling' OR status = 'success' OR
        status = 'failed' OR status = 'skipped' OR status = 'cancelled'),
    attempt    INTEGER NOT NULL,
    due_at     INTEGER,
    cause      TEXT    NOT NULL,
    started_at INTEGER,
    ended_at   INTEGER,
    code       INTEGER,
    outputs    TEXT,
    PRIMARY KEY (run_key, task, item)
) STRICT, WITHOUT ROWID;
INSERT INTO "task" VALUES(2,0,0,'running',1,NULL,'{"why":"ready"}',1700000000001,NULL,NULL,NULL);
CREATE TABLE token (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL,
    hash        BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    permissions TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    revoked_at  INTEGER
) STRICT;
CREATE TABLE version (
    pipeline_key INTEGER NOT NULL REFERENCES pipeline (key),
    version      INTEGER NOT NULL,
    digest       TEXT    NOT NULL,
    document     TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    actor_kind   TEXT    NOT NULL CHECK (actor_kind = 'token' OR actor_kind = 'subscription' OR actor_kind = 'host'),
    actor_name   TEXT    NOT NULL,
    PRIMARY KEY (pipeline_key, version)
) STRICT;
INSERT INTO "version" VALUES(1,1,'sha256:0','{"id":"hello"}',1700000000000,'token','first');
CREATE UNIQUE INDEX pipeline_id ON pipeline (namespace_id, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX subscription_label ON subscription (pipeline_key, label) WHERE deleted_at IS NULL;
CREATE INDEX subscription_pipeline ON subscription (pipeline_key);
CREATE INDEX subscription_namespace ON subscription (namespace_id);
CREATE INDEX subscription_due ON subscription (due_at) WHERE status = 'active' AND due_at IS NOT NULL;
CREATE INDEX subscription_unscheduled ON subscription (status) WHERE status = 'active' AND next_at IS NULL AND ends = 0;
CREATE INDEX fire_open ON fire (decided_at) WHERE status = 'open';
CREATE UNIQUE INDEX run_number ON run (pipeline_key, number);
CREATE UNIQUE INDEX run_fire ON run (subscription_id, fire_at, fire_key) WHERE subscription_id IS NOT NULL;
CREATE INDEX run_open ON run (pipeline_key, status) WHERE status IN ('queued', 'running', 'cancelling');
CREATE INDEX run_namespace ON run (namespace_id);
CREATE INDEX run_namespace_status ON run (namespace_id, status);
CREATE INDEX run_pipeline ON run (pipeline_key);
CREATE INDEX run_pipeline_status ON run (pipeline_key, status);
CREATE INDEX run_subscription ON run (subscription_id) WHERE subscription_id IS NOT NULL;
CREATE INDEX run_subscription_status ON run (subscription_id, status) WHERE subscription_id IS NOT NULL;
CREATE INDEX run_version ON run (pipeline_key, version);
CREATE INDEX run_retry_of ON run (retry_of) WHERE retry_of IS NOT NULL;
CREATE INDEX run_parent ON run (parent_run) WHERE parent_run IS NOT NULL;
CREATE TABLE plugin_recording (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace_id INTEGER NOT NULL REFERENCES namespace (id),
    plugin       TEXT    NOT NULL,
    -- Of the component that was called.
    digest       TEXT    NOT NULL,
    function     TEXT    NOT NULL,
    -- What the call's clock showed.
    at           INTEGER NOT NULL,
    -- NULL: it answered.
    error        TEXT,
    -- Sealed.
    content      BLOB    NOT NULL
) STRICT;
CREATE INDEX run_root ON run (root_run) WHERE root_run IS NOT NULL;
CREATE INDEX event_run ON event (run_key) WHERE run_key IS NOT NULL;
CREATE INDEX idempotency_created ON idempotency (created_at);
CREATE INDEX idempotency_run ON idempotency (run_key);
CREATE UNIQUE INDEX token_name ON token (name) WHERE revoked_at IS NULL;
CREATE INDEX kv_namespace ON kv (namespace_id);
CREATE INDEX kv_usage_namespace ON kv_usage (namespace_id);
CREATE INDEX plugin_recording_plugin ON plugin_recording (namespace_id, plugin, id);
CREATE INDEX subscription_plugin ON subscription (plugin) WHERE deleted_at IS NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('subscription',1);
INSERT INTO "sqlite_sequence" VALUES('event',1);
COMMIT;
