-- DNS records that Hangar made and owns.

CREATE TABLE dns_records (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    provider_id TEXT COLLATE "C" NOT NULL REFERENCES providers (id),
    zone TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    -- The whole name.
    search TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL CHECK (type IN ('A', 'AAAA', 'CNAME', 'TXT')),
    content TEXT COLLATE "C" NOT NULL,
    ttl BIGINT,
    proxied BIGINT NOT NULL CHECK (proxied IN (0, 1)),
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('requested', 'creating', 'active', 'deleting', 'deleted', 'failed')),
    code TEXT COLLATE "C",
    message TEXT COLLATE "C",
    cleanup TEXT COLLATE "C" NOT NULL CHECK (cleanup IN ('none', 'pending', 'done')),
    vendor_id TEXT COLLATE "C",
    node_id TEXT COLLATE "C" REFERENCES nodes (id),
    create_attempted_at BIGINT,
    -- Whether a person let Hangar take over what it had not written.
    adopted BIGINT NOT NULL CHECK (adopted IN (0, 1)),
    -- 0 when never observed, so that both engines put those first.
    observed_at BIGINT NOT NULL,
    drift TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT,
    version BIGINT NOT NULL
);
-- One record of ours under a name and type; a given-up one keeps nobody from trying again.
CREATE UNIQUE INDEX dns_records_name ON dns_records (provider_id, zone, name, type)
    WHERE state IN ('requested', 'creating', 'active', 'deleting');
CREATE INDEX dns_records_search ON dns_records (search, id);
CREATE INDEX dns_records_state ON dns_records (state, id);
CREATE INDEX dns_records_provider ON dns_records (provider_id, id);
CREATE INDEX dns_records_live ON dns_records (id) WHERE state <> 'deleted';
CREATE INDEX dns_records_node ON dns_records (node_id, id) WHERE node_id IS NOT NULL;
CREATE INDEX dns_records_cleanup ON dns_records (id) WHERE cleanup = 'pending';
CREATE INDEX dns_records_observe ON dns_records (state, observed_at, id) WHERE state = 'active';
CREATE INDEX dns_records_live_provider ON dns_records (provider_id) WHERE state <> 'deleted';
CREATE INDEX dns_records_live_state ON dns_records (state) WHERE state <> 'deleted';

-- At most one job works on a node, and on a record.
DROP INDEX jobs_one_open;
CREATE UNIQUE INDEX jobs_one_open ON jobs (subject_id)
    WHERE subject_type IN ('node', 'dns_record') AND status IN ('queued', 'running');
-- Of two that serve alike, SQLite takes the one made last.
DROP INDEX jobs_open;
CREATE INDEX jobs_open ON jobs (subject_id, id) WHERE status IN ('queued', 'running');
