-- compatible: 21
-- Mappings whose ports are on a client's own machine, and those through which a whole network is reached. A controld that does
-- not know them would make their ports public, so none of before this may run beside one that has it.

-- The client on whose machine the ports are; 0 = they are the relays'. Its rows in `ports` have 'client:<id>' as their group.
ALTER TABLE mappings ADD COLUMN source_client_id BIGINT NOT NULL DEFAULT 0;
CREATE INDEX mappings_by_source ON mappings (source_client_id, group_id);

-- SOCKS5: who may come in ('' = nobody is asked), what of his password is kept, and what may be reached.
ALTER TABLE mappings ADD COLUMN socks_user TEXT NOT NULL DEFAULT '';
ALTER TABLE mappings ADD COLUMN socks_proof TEXT NOT NULL DEFAULT '';
ALTER TABLE mappings ADD COLUMN socks_allow TEXT NOT NULL DEFAULT '';
