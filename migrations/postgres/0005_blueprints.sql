-- Stacks: what they are made from, and what is kept of them.

CREATE TABLE blueprints (
    name TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL CHECK (version > 0),
    -- Without the file.
    definition TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    -- Nobody may ask for it any more; nodes remember it all the same.
    retired_at BIGINT,
    -- The last, so that whoever does not ask for it does not read it.
    file TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (name, version)
);

ALTER TABLE nodes ADD COLUMN blueprint TEXT COLLATE "C";
ALTER TABLE nodes ADD COLUMN blueprint_version BIGINT;
-- The version that its stack runs.
ALTER TABLE nodes ADD COLUMN tag TEXT COLLATE "C";
-- The secrets that were made for it, by name, as one sealed JSON text.
ALTER TABLE nodes ADD COLUMN secrets_sealed TEXT COLLATE "C";
ALTER TABLE nodes ADD COLUMN cockpit_port BIGINT;
CREATE INDEX nodes_live_blueprint ON nodes (blueprint) WHERE state <> 'destroyed' AND blueprint IS NOT NULL;

CREATE TABLE backups (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    node_id TEXT COLLATE "C" NOT NULL REFERENCES nodes (id),
    node_name TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL REFERENCES providers (id),
    blueprint TEXT COLLATE "C",
    blueprint_version BIGINT,
    tag TEXT COLLATE "C",
    -- Its folder within the node's.
    folder TEXT COLLATE "C" NOT NULL,
    files TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX backups_node_name ON backups (node_name, id);
CREATE INDEX backups_node ON backups (node_id, id);
CREATE INDEX backups_provider ON backups (provider_id, id);
