-- compatible: 9
-- Who is being deleted is looked for every few seconds: there are few of them among many.
CREATE INDEX users_leaving ON users (id) WHERE status = 'deleting';
CREATE INDEX tenants_leaving ON tenants (id) WHERE status = 'deleting';
