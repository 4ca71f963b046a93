-- The first schema. The same text stands in the other engine's folder, apart from the collation of
-- text and the counter of events; a test compares the two. Times are milliseconds since the Unix
-- epoch, flags are 0 or 1, JSON is text. Rows with a history are never deleted.

CREATE TABLE users (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    display_name TEXT COLLATE "C" NOT NULL,
    -- The display name in lower case.
    search TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('user', 'admin')),
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'active', 'suspended')),
    max_active BIGINT NOT NULL CHECK (max_active >= 0),
    last_seen_at BIGINT,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX users_search ON users (search, id);
CREATE INDEX users_status ON users (status, id);
CREATE INDEX users_role ON users (role, id);

INSERT INTO users (id, display_name, search, role, status, max_active, last_seen_at, created_at, version)
VALUES ('usr_admin', 'Administrator', 'administrator', 'admin', 'active', 1, NULL, 0, 1);

CREATE TABLE identities (
    forge TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    login TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    linked_at BIGINT NOT NULL,
    PRIMARY KEY (forge, subject)
);
CREATE INDEX identities_user ON identities (user_id, linked_at, forge, subject);

CREATE TABLE sessions (
    -- SHA-256 of the session's id, in hex: a stolen database opens no session.
    id_hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id TEXT COLLATE "C" REFERENCES users (id),
    data TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE login_failures (
    key TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX login_failures_key ON login_failures (key, at);
CREATE INDEX login_failures_at ON login_failures (at);

CREATE TABLE settings (
    key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

CREATE TABLE idempotency (
    principal TEXT COLLATE "C" NOT NULL,
    route TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    body_hash TEXT COLLATE "C" NOT NULL,
    status BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (principal, route, key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);

CREATE TABLE providers (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    -- The name in lower case.
    search TEXT COLLATE "C" NOT NULL,
    settings TEXT COLLATE "C" NOT NULL,
    secret_sealed TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('connected', 'degraded', 'disconnected')),
    last_code TEXT COLLATE "C",
    last_message TEXT COLLATE "C",
    connected_at BIGINT,
    last_checked_at BIGINT,
    next_check_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX providers_name ON providers (name) WHERE deleted_at IS NULL;
CREATE INDEX providers_living ON providers (id) WHERE deleted_at IS NULL;
CREATE INDEX providers_search ON providers (search, id) WHERE deleted_at IS NULL;
CREATE INDEX providers_due ON providers (next_check_at, id) WHERE deleted_at IS NULL;

CREATE TABLE nodes (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL REFERENCES providers (id),
    server_name TEXT COLLATE "C" NOT NULL,
    infra_id TEXT COLLATE "C",
    action_id TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL CHECK (state IN (
        'requested', 'creating', 'starting', 'naming', 'provisioning', 'verifying', 'ready', 'suspending', 'suspended',
        'resuming', 'upgrading', 'rebuilding', 'destroying', 'destroyed', 'failed')),
    failed_stage TEXT COLLATE "C",
    code TEXT COLLATE "C",
    message TEXT COLLATE "C",
    cleanup TEXT COLLATE "C" NOT NULL CHECK (cleanup IN ('none', 'pending', 'done')),
    host TEXT COLLATE "C",
    ipv4 TEXT COLLATE "C",
    ipv6 TEXT COLLATE "C",
    fqdn TEXT COLLATE "C",
    server_type TEXT COLLATE "C",
    location TEXT COLLATE "C",
    image TEXT COLLATE "C",
    price_monthly TEXT COLLATE "C",
    currency TEXT COLLATE "C",
    profile TEXT COLLATE "C" NOT NULL CHECK (profile IN ('none', 'base')),
    spec TEXT COLLATE "C" NOT NULL,
    host_key_public TEXT COLLATE "C",
    host_key_sealed TEXT COLLATE "C",
    ssh_user TEXT COLLATE "C",
    ssh_port BIGINT,
    create_attempted_at BIGINT,
    health TEXT COLLATE "C" NOT NULL,
    -- 0 when never observed, so that both engines put those first.
    observed_at BIGINT NOT NULL,
    drift TEXT COLLATE "C" NOT NULL,
    pool TEXT COLLATE "C",
    cockpit_url TEXT COLLATE "C",
    keep_until BIGINT,
    created_by TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    destroyed_at BIGINT,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX nodes_server_name ON nodes (server_name);
CREATE INDEX nodes_name ON nodes (name, id);
CREATE INDEX nodes_state ON nodes (state, id);
CREATE INDEX nodes_pool ON nodes (pool, id);
CREATE INDEX nodes_provider ON nodes (provider_id, id);
CREATE INDEX nodes_live ON nodes (id) WHERE state <> 'destroyed';
CREATE INDEX nodes_live_state ON nodes (state) WHERE state <> 'destroyed';
CREATE INDEX nodes_live_provider ON nodes (provider_id) WHERE state <> 'destroyed';
CREATE INDEX nodes_live_price ON nodes (price_monthly, currency) WHERE state <> 'destroyed';
CREATE INDEX nodes_pool_state ON nodes (pool, state, id);
CREATE INDEX nodes_cleanup ON nodes (id) WHERE cleanup = 'pending';
CREATE INDEX nodes_keep ON nodes (state, keep_until, id) WHERE state = 'failed';
CREATE INDEX nodes_observe ON nodes (observed_at, id)
    WHERE state <> 'destroyed' AND infra_id IS NOT NULL;

CREATE TABLE jobs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN (
        'node_provision', 'node_destroy', 'node_cleanup', 'node_suspend', 'node_resume', 'node_upgrade', 'node_rebuild',
        'dns_create', 'dns_delete', 'allocation_release', 'pool_fill')),
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    subject_type TEXT COLLATE "C" NOT NULL,
    subject_id TEXT COLLATE "C" NOT NULL,
    subject_name TEXT COLLATE "C",
    -- The subject's name in lower case, or nothing.
    search TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    step TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    progress BIGINT NOT NULL CHECK (progress BETWEEN 0 AND 100),
    error_code TEXT COLLATE "C",
    error_message TEXT COLLATE "C",
    cancel_requested BIGINT NOT NULL CHECK (cancel_requested IN (0, 1)),
    fence BIGINT NOT NULL,
    lease_owner TEXT COLLATE "C",
    lease_until BIGINT,
    run_after BIGINT NOT NULL,
    deadline_at BIGINT,
    created_by TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    version BIGINT NOT NULL
);
-- At most one job works on a node.
CREATE UNIQUE INDEX jobs_one_open ON jobs (subject_id)
    WHERE subject_type = 'node' AND status IN ('queued', 'running');
CREATE INDEX jobs_open ON jobs (subject_id, id) WHERE status IN ('queued', 'running');
-- An index names its own condition's column too, or SQLite would rather take a wider one and sort.
CREATE INDEX jobs_due ON jobs (status, run_after, id) WHERE status = 'queued';
CREATE INDEX jobs_lease ON jobs (status, lease_until, id) WHERE status = 'running';
CREATE INDEX jobs_status ON jobs (status, id);
CREATE INDEX jobs_status_kind ON jobs (status, kind, id);
CREATE INDEX jobs_kind ON jobs (kind, id);
CREATE INDEX jobs_subject ON jobs (subject_id, id);
CREATE INDEX jobs_search ON jobs (search, id);

CREATE TABLE job_steps (
    job_id TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    seq BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'skipped')),
    started_at BIGINT,
    finished_at BIGINT,
    detail TEXT COLLATE "C",
    PRIMARY KEY (job_id, seq)
);

CREATE TABLE pools (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    target_ready BIGINT,
    max_size BIGINT,
    cleaning TEXT COLLATE "C" NOT NULL CHECK (cleaning IN ('replace', 'rebuild', 'none')),
    template TEXT COLLATE "C",
    max_duration_hours BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX pools_name ON pools (name);

CREATE TABLE pool_vms (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    pool TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL CHECK (source IN ('node', 'listed')),
    node_id TEXT COLLATE "C" REFERENCES nodes (id),
    host TEXT COLLATE "C",
    cockpit_url TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL CHECK (status IN (
        'available', 'allocated', 'cleaning', 'maintenance', 'draining', 'retired')),
    note TEXT COLLATE "C",
    ssh_user TEXT COLLATE "C",
    ssh_port BIGINT,
    labels TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
-- Handing out takes the first of this one.
CREATE INDEX pool_vms_claim ON pool_vms (pool, position, id) WHERE status = 'available';
CREATE INDEX pool_vms_status ON pool_vms (pool, status, id);
CREATE INDEX pool_vms_pool ON pool_vms (pool, id);
CREATE INDEX pool_vms_listed ON pool_vms (position, id) WHERE source = 'listed';

CREATE TABLE allocations (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    forge_id TEXT COLLATE "C",
    pool TEXT COLLATE "C" NOT NULL,
    pool_vm_id TEXT COLLATE "C" REFERENCES pool_vms (id),
    host TEXT COLLATE "C",
    provisioner TEXT COLLATE "C" NOT NULL,
    is_demo BIGINT NOT NULL CHECK (is_demo IN (0, 1)),
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('waiting', 'active', 'releasing', 'released')),
    cost_cents BIGINT,
    cockpit_url TEXT COLLATE "C",
    duration_hours BIGINT NOT NULL,
    ssh_pub_key TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    allocated_at BIGINT,
    expires_at BIGINT,
    released_at BIGINT,
    version BIGINT NOT NULL,
    -- Who is active holds a machine; who waits holds none.
    CONSTRAINT allocations_holding CHECK (
        (status <> 'waiting' OR pool_vm_id IS NULL) AND (status <> 'active' OR pool_vm_id IS NOT NULL))
);
-- A machine has at most one holder.
CREATE UNIQUE INDEX allocations_one_holder ON allocations (pool_vm_id) WHERE status IN ('active', 'releasing');
CREATE INDEX allocations_waiting ON allocations (pool, created_at, id) WHERE status = 'waiting';
CREATE INDEX allocations_expiry ON allocations (status, expires_at, id) WHERE status = 'active';
CREATE INDEX allocations_user_status ON allocations (user_id, status, id);
CREATE INDEX allocations_user ON allocations (user_id, id);
CREATE INDEX allocations_status ON allocations (status, id);
CREATE INDEX allocations_pool ON allocations (pool, id);
CREATE INDEX allocations_pool_status ON allocations (pool, status, id);
CREATE INDEX allocations_vm ON allocations (pool_vm_id, id);

CREATE TABLE audit (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    actor_name TEXT COLLATE "C",
    action TEXT COLLATE "C" NOT NULL,
    subject_type TEXT COLLATE "C" NOT NULL,
    subject_id TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL CHECK (outcome IN ('ok', 'refused', 'failed')),
    code TEXT COLLATE "C",
    detail TEXT COLLATE "C",
    request_id TEXT COLLATE "C"
);
CREATE INDEX audit_subject ON audit (subject_id, id);
CREATE INDEX audit_type ON audit (subject_type, id);
CREATE INDEX audit_actor ON audit (actor, id);
CREATE INDEX audit_outcome ON audit (outcome, id);

CREATE TABLE events (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    subject_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    user_id TEXT COLLATE "C"
);
