/*
 * db_command - `controld db ...`: make, migrate, list, copy, restore, erase the database.
 */
#ifndef PORTWAY_CONTROLD_DB_COMMAND_H
#define PORTWAY_CONTROLD_DB_COMMAND_H

/* argv[0] is "db"; answers the exit status. */
int db_command(int argc, char **argv);

#endif
