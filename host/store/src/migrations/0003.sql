-- Plugins that an operator installed, and the secrets that they and later tasks may use.

-- JSON; NULL: the subscription leaves its plugin all that it was granted.
ALTER TABLE subscription ADD COLUMN narrowing TEXT;

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

-- Which plugin a subscription hangs on, for an update and an uninstall that ask.
CREATE INDEX subscription_plugin ON subscription (plugin) WHERE deleted_at IS NULL;
