-- Recorded calls of plugins, to be made again.

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

CREATE INDEX plugin_recording_plugin ON plugin_recording (namespace_id, plugin, id);
