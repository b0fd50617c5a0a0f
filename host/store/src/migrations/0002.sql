-- What a state may be, said in another way: SQLite builds a table in memory for a list of more than two values each
-- time a row is written, which was half of what the rows of a task cost (counted with Callgrind); comparisons cost
-- next to nothing. Columns and rows stay as they are and only the text of the rules changes, so the schema is edited in
-- place, as https://www.sqlite.org/lang_altertable.html (section 7) describes it for such a change.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = 'CREATE TABLE version (
    pipeline_key INTEGER NOT NULL REFERENCES pipeline (key),
    version      INTEGER NOT NULL,
    digest       TEXT    NOT NULL,
    document     TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    actor_kind   TEXT    NOT NULL CHECK (actor_kind = ''token'' OR actor_kind = ''subscription'' OR actor_kind = ''host''),
    actor_name   TEXT    NOT NULL,
    PRIMARY KEY (pipeline_key, version)
) STRICT'
WHERE type = 'table' AND name = 'version';
UPDATE sqlite_schema SET sql = 'CREATE TABLE subscription (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace_id       INTEGER NOT NULL REFERENCES namespace (id),
    pipeline_key       INTEGER NOT NULL REFERENCES pipeline (key),
    plugin             TEXT    NOT NULL,
    label              TEXT    NOT NULL,
    params             TEXT    NOT NULL,
    run_params         TEXT    NOT NULL,
    status             TEXT    NOT NULL CHECK (status = ''active'' OR status = ''paused'' OR status = ''error''),
    overlap            TEXT    NOT NULL CHECK (overlap = ''skip'' OR overlap = ''queue'' OR overlap = ''allow'' OR
        overlap = ''cancel_running''),
    queue_max          INTEGER NOT NULL CHECK (queue_max >= 0),
    catch_up           TEXT    NOT NULL CHECK (catch_up = ''none'' OR catch_up = ''latest'' OR catch_up = ''all''),
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
    actor_kind         TEXT    NOT NULL CHECK (actor_kind = ''token'' OR actor_kind = ''subscription'' OR actor_kind = ''host''),
    actor_name         TEXT    NOT NULL,
    updated_at         INTEGER NOT NULL,
    deleted_at         INTEGER,
    -- A deleted one waits for nothing, so the indexes of what waits need not look at deleted_at.
    CHECK (deleted_at IS NULL OR (due_at IS NULL AND ends = 1))
) STRICT'
WHERE type = 'table' AND name = 'subscription';
UPDATE sqlite_schema SET sql = 'CREATE TABLE fire (
    subscription_id INTEGER NOT NULL REFERENCES subscription (id),
    at              INTEGER NOT NULL,
    decided_at      INTEGER NOT NULL,
    decision        TEXT    NOT NULL CHECK (decision = ''start'' OR decision = ''skip'' OR decision = ''missed''),
    status          TEXT    NOT NULL CHECK (status = ''open'' OR status = ''done'' OR status = ''failed''),
    note            TEXT,
    failures        INTEGER NOT NULL DEFAULT 0,
    runs            INTEGER NOT NULL DEFAULT 0,
    ended_at        INTEGER,
    PRIMARY KEY (subscription_id, at)
) STRICT, WITHOUT ROWID'
WHERE type = 'table' AND name = 'fire';
UPDATE sqlite_schema SET sql = 'CREATE TABLE run (
    key               INTEGER PRIMARY KEY,
    id                BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    namespace_id      INTEGER NOT NULL REFERENCES namespace (id),
    pipeline_key      INTEGER NOT NULL,
    version           INTEGER NOT NULL,
    number            INTEGER NOT NULL,
    definition_digest TEXT    NOT NULL,
    status            TEXT    NOT NULL CHECK (
        status = ''queued'' OR status = ''running'' OR status = ''cancelling'' OR
        status = ''success'' OR status = ''failed'' OR status = ''cancelled'' OR
        status = ''timed_out''),
    cause             TEXT,
    cancel_reason     TEXT CHECK (
        cancel_reason = ''fail_fast'' OR cancel_reason = ''user'' OR
        cancel_reason = ''superseded'' OR cancel_reason = ''timeout'' OR
        cancel_reason = ''shutdown'' OR cancel_reason = ''kill''),
    params            TEXT    NOT NULL,
    attributes        TEXT    NOT NULL,
    summary           TEXT,
    created_at        INTEGER NOT NULL,
    started_at        INTEGER,
    ended_at          INTEGER,
    deadline          INTEGER,
    created_by_kind   TEXT    NOT NULL CHECK (created_by_kind = ''token'' OR created_by_kind = ''subscription'' OR
        created_by_kind = ''host''),
    created_by_name   TEXT    NOT NULL,
    cancelled_by_kind TEXT CHECK (cancelled_by_kind = ''token'' OR cancelled_by_kind = ''subscription'' OR
        cancelled_by_kind = ''host''),
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
    trust             TEXT    NOT NULL CHECK (trust IN (''trusted'', ''untrusted'')),
    log_bytes         INTEGER NOT NULL DEFAULT 0,
    tasks_total       INTEGER NOT NULL,
    FOREIGN KEY (pipeline_key, version) REFERENCES version (pipeline_key, version),
    CHECK ((subscription_id IS NULL) = (fire_at IS NULL) AND (fire_at IS NULL) = (fire_key IS NULL)),
    CHECK ((parent_run IS NULL) = (parent_task IS NULL) AND (parent_run IS NULL) = (parent_item IS NULL)),
    CHECK (((status = ''queued'' OR status = ''running'' OR status = ''cancelling'')) = (ended_at IS NULL))
) STRICT'
WHERE type = 'table' AND name = 'run';
UPDATE sqlite_schema SET sql = 'CREATE TABLE task (
    run_key    INTEGER NOT NULL REFERENCES run (key),
    task       INTEGER NOT NULL,
    item       INTEGER NOT NULL DEFAULT 0,
    status     TEXT    NOT NULL CHECK (
        status = ''starting'' OR status = ''running'' OR status = ''backoff'' OR
        status = ''stopping'' OR status = ''cancelling'' OR status = ''success'' OR
        status = ''failed'' OR status = ''skipped'' OR status = ''cancelled''),
    attempt    INTEGER NOT NULL,
    due_at     INTEGER,
    cause      TEXT    NOT NULL,
    started_at INTEGER,
    ended_at   INTEGER,
    code       INTEGER,
    outputs    TEXT,
    PRIMARY KEY (run_key, task, item)
) STRICT, WITHOUT ROWID'
WHERE type = 'table' AND name = 'task';
UPDATE sqlite_schema SET sql = 'CREATE TABLE attempt (
    run_key     INTEGER NOT NULL REFERENCES run (key),
    task        INTEGER NOT NULL,
    item        INTEGER NOT NULL DEFAULT 0,
    attempt     INTEGER NOT NULL CHECK (attempt >= 1),
    epoch       INTEGER NOT NULL,
    executor    TEXT    NOT NULL,
    instance    TEXT    NOT NULL,
    digest      TEXT,
    status      TEXT    NOT NULL CHECK (status = ''starting'' OR status = ''running'' OR status = ''ended''),
    begun_at    INTEGER NOT NULL,
    started_at  INTEGER,
    ended_at    INTEGER,
    exit        TEXT,
    log_first   INTEGER NOT NULL DEFAULT 0,
    log_end     INTEGER NOT NULL DEFAULT 0,
    log_bytes   INTEGER NOT NULL DEFAULT 0,
    log_dropped INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_key, task, item, attempt),
    CHECK ((status = ''ended'') = (exit IS NOT NULL))
) STRICT, WITHOUT ROWID'
WHERE type = 'table' AND name = 'attempt';
UPDATE sqlite_schema SET sql = 'CREATE TABLE event (
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
    actor_kind      TEXT    NOT NULL CHECK (actor_kind = ''token'' OR actor_kind = ''subscription'' OR actor_kind = ''host''),
    actor_name      TEXT    NOT NULL,
    data            TEXT
) STRICT'
WHERE type = 'table' AND name = 'event';
PRAGMA writable_schema = RESET;
