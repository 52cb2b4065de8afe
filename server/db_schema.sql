-- The server's records. Times are seconds since 1970 (UTC). Version: DB_SCHEMA_VERSION in db.h, kept in PRAGMA user_version.

-- organisation, url, portal_url, check_domain, epoch, distribution, generation, fleet_generation …
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT,
    mail TEXT,
    upn TEXT,
    created_at INTEGER NOT NULL
) STRICT;

-- A device is never deleted: its tombstone answers GET /v1/state, and its UUID stays taken.
CREATE TABLE devices (
    uuid TEXT NOT NULL PRIMARY KEY,
    state INTEGER NOT NULL CHECK (state IN (1, 2)),                        -- active, removed
    reenrolment INTEGER NOT NULL DEFAULT 0 CHECK (reenrolment IN (0, 1, 2)), -- none, waits for an administrator, allowed
    generation INTEGER NOT NULL DEFAULT 0,
    enrolled_at INTEGER NOT NULL,
    removed_at INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE assignments (
    user_id TEXT NOT NULL REFERENCES users (id),
    device TEXT NOT NULL REFERENCES devices (uuid),
    local_name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (device, user_id),
    UNIQUE (device, local_name)
) STRICT;
CREATE INDEX assignments_user ON assignments (user_id);

-- The secret itself is shown once and kept by nobody.
CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    secret_sha256 BLOB NOT NULL,
    uses INTEGER NOT NULL CHECK (uses > 0),
    used INTEGER NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND uses),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Row ids grow with the time of issue: "older sibling" is a comparison of ids.
CREATE TABLE certificates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL CHECK (kind IN (1, 2)),          -- device, user
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4), -- issued, installed, superseded, revoked
    serial TEXT NOT NULL UNIQUE,
    device TEXT NOT NULL REFERENCES devices (uuid),
    user_id TEXT NOT NULL DEFAULT '', -- '' for a device's; stays when the user is gone
    request_id TEXT NOT NULL DEFAULT '',
    token TEXT NOT NULL DEFAULT '',   -- that a device enrolled with
    csr_sha256 BLOB NOT NULL,
    spki_sha256 BLOB NOT NULL UNIQUE, -- a key is certified once
    fingerprint BLOB NOT NULL UNIQUE, -- SHA-256 over der
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    superseded_at INTEGER NOT NULL DEFAULT 0,
    revoked_at INTEGER NOT NULL DEFAULT 0,
    revocation_reason INTEGER NOT NULL DEFAULT 0, -- RFC 5280 5.3.1
    with_device INTEGER NOT NULL DEFAULT 0,       -- revoked by the removal of its device
    der BLOB NOT NULL
) STRICT;
CREATE INDEX certificates_owner ON certificates (device, user_id, state);
CREATE INDEX certificates_age ON certificates (device, user_id, issued_at);
CREATE INDEX certificates_state ON certificates (kind, state);
CREATE INDEX certificates_expiry ON certificates (not_after); -- what is forgotten

-- What administrators did: appended to, never changed.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    what TEXT NOT NULL,
    who TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
