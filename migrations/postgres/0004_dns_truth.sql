-- DNS records among the orphans, and the end of an account's credential.

ALTER TABLE orphans ADD COLUMN subject TEXT NOT NULL DEFAULT 'server' CHECK (subject IN ('server', 'dns_record'));
-- What stands at the vendor, where its id alone does not find it again.
ALTER TABLE orphans ADD COLUMN detail TEXT;
ALTER TABLE providers ADD COLUMN expires_at BIGINT;
CREATE INDEX dns_records_zone ON dns_records (provider_id, zone, id);
CREATE INDEX dns_records_drifted ON dns_records (id) WHERE drift <> '[]' AND state = 'active';
