-- compatible: 15
-- A quota's month begins at midnight by the clocks of a named time zone. zone_min stays for controlds that know only offsets,
-- and for the day on which a name is no longer in the machine's database.

ALTER TABLE user_quotas ADD COLUMN time_zone TEXT NOT NULL DEFAULT 'UTC';
UPDATE user_quotas SET time_zone = CASE WHEN zone_min < 0 THEN '-' ELSE '+' END
	|| CASE WHEN abs(zone_min) < 600 THEN '0' ELSE '' END || (abs(zone_min) / 60) || ':'
	|| CASE WHEN abs(zone_min) % 60 < 10 THEN '0' ELSE '' END || (abs(zone_min) % 60) WHERE zone_min <> 0;
