/* What must be remembered: records of a kind and an id, each a JSON text, in one transactional store with a versioned schema.
 *
 * SQLite: one connection, used by one thread (the control thread), WAL with an exclusive lock, synchronous=FULL: a change that
 * was answered survives a power cut. The interface knows no SQL, so that another store can stand behind it. */
#ifndef CATALOG_CATALOG_H
#define CATALOG_CATALOG_H

#include <stddef.h>

struct catalog;
struct error;

/* Opens or makes the file; brings an older schema up to date; refuses a newer one, or a damaged file, with a sentence. */
int catalog_open(const char *path, struct catalog **out_catalog, struct error *error);
void catalog_close(struct catalog *catalog);

/* Every change stands between begin and commit; commit returns when it is on stable storage. */
int catalog_begin(struct catalog *catalog, struct error *error);
int catalog_commit(struct catalog *catalog, struct error *error);
void catalog_rollback(struct catalog *catalog);

/* Makes or replaces a record. */
int catalog_put(struct catalog *catalog, const char *kind, const char *id, const char *body, struct error *error);
/* 0 also when there was none. */
int catalog_remove(struct catalog *catalog, const char *kind, const char *id, struct error *error);
/* Calls on_record for each record of a kind, in the order of their ids; borrows the strings. Stops at its first error. */
int catalog_each(struct catalog *catalog, const char *kind,
		 int (*on_record)(void *data, const char *id, const char *body, struct error *error), void *data,
		 struct error *error);

#endif
