-- The seven verbs, profiles with versions, the truth at the vendors and what it costs.

-- Profiles are an administrator's own now. The column is made anew because neither engine can loosen
-- a check in the same words.
ALTER TABLE nodes ADD COLUMN profile_name TEXT COLLATE "C" NOT NULL DEFAULT 'base';
UPDATE nodes SET profile_name = profile;
ALTER TABLE nodes DROP COLUMN profile;
ALTER TABLE nodes RENAME COLUMN profile_name TO profile;
-- The version of its profile that ran last, where one did.
ALTER TABLE nodes ADD COLUMN profile_version BIGINT;
ALTER TABLE nodes ADD COLUMN price_hourly TEXT COLLATE "C";
-- When it first passed its verification: what served once is not taken away because a later verb failed.
ALTER TABLE nodes ADD COLUMN ready_at BIGINT;
UPDATE nodes SET ready_at = updated_at WHERE state = 'ready';

-- What may still bill, by price; the first also by pool.
DROP INDEX nodes_observe;
DROP INDEX nodes_live_price;
CREATE INDEX nodes_live_spend ON nodes (currency, price_monthly, price_hourly)
    WHERE state <> 'destroyed'
    AND NOT (state = 'failed' AND (cleanup = 'done' OR (cleanup = 'none' AND create_attempted_at IS NULL)));
CREATE INDEX nodes_live_spend_pool ON nodes (pool, currency, price_monthly, price_hourly)
    WHERE state <> 'destroyed'
    AND NOT (state = 'failed' AND (cleanup = 'done' OR (cleanup = 'none' AND create_attempted_at IS NULL)));
CREATE INDEX nodes_live_profile ON nodes (profile) WHERE state <> 'destroyed';
CREATE INDEX nodes_drifted ON nodes (id) WHERE drift <> '[]' AND state <> 'destroyed';
CREATE INDEX nodes_infra ON nodes (provider_id, infra_id, id) WHERE state <> 'destroyed' AND infra_id IS NOT NULL;

-- More kinds of jobs; which ones there are stands in the code alone from here on.
DROP INDEX jobs_status_kind;
DROP INDEX jobs_kind;
ALTER TABLE jobs ADD COLUMN kind_word TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE jobs SET kind_word = kind;
ALTER TABLE jobs DROP COLUMN kind;
ALTER TABLE jobs RENAME COLUMN kind_word TO kind;
CREATE INDEX jobs_status_kind ON jobs (status, kind, id);
CREATE INDEX jobs_kind ON jobs (kind, id);
-- Of two that serve alike, SQLite takes the one made last.
DROP INDEX jobs_open;
CREATE INDEX jobs_open ON jobs (subject_id, id) WHERE status IN ('queued', 'running');
-- What takes something away waits behind nothing that makes something: 0 and 1.
ALTER TABLE jobs ADD COLUMN lane BIGINT NOT NULL DEFAULT 1;
UPDATE jobs SET lane = 0 WHERE kind IN ('node_destroy', 'node_cleanup', 'allocation_release');
DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (status, lane, run_after, id) WHERE status = 'queued';
DROP INDEX jobs_lease;
CREATE INDEX jobs_lease ON jobs (status, lane, lease_until, id) WHERE status = 'running';
-- By what the vendor finds the refused call again.
ALTER TABLE jobs ADD COLUMN error_correlation TEXT COLLATE "C";
-- What a command or script wrote, as JSON; secrets are masked.
ALTER TABLE jobs ADD COLUMN output TEXT COLLATE "C";

-- Acquisitions through the account that failed in a row, and until when no further one is begun.
ALTER TABLE providers ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE providers ADD COLUMN failure_code TEXT COLLATE "C";
ALTER TABLE providers ADD COLUMN paused_until BIGINT;
-- When its machines were last compared with what is recorded, and why that failed since; 0 for never.
ALTER TABLE providers ADD COLUMN observed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE providers ADD COLUMN observe_failed TEXT COLLATE "C";
ALTER TABLE providers ADD COLUMN owned BIGINT;
-- When they are compared next: whoever moves it on is the one who does.
ALTER TABLE providers ADD COLUMN next_observe_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX providers_observe ON providers (next_observe_at, id) WHERE deleted_at IS NULL;

CREATE TABLE profiles (
    name TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL CHECK (version > 0),
    definition TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE orphans (
    provider_id TEXT COLLATE "C" NOT NULL REFERENCES providers (id),
    infra_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('unknown', 'gone')),
    name TEXT COLLATE "C" NOT NULL,
    node_id TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    PRIMARY KEY (provider_id, infra_id, kind)
);
CREATE INDEX orphans_first_seen ON orphans (first_seen_at, provider_id, infra_id, kind);
