-- older_tables: the tables are of the first version.
PRAGMA user_version = 1;
