#include "catalog/catalog.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

#include "base/error.h"
#include "base/memory.h"

enum statement { BEGIN, COMMIT, ROLLBACK, PUT, REMOVE, EACH, STATEMENTS };

static const char *const statement_texts[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[PUT] = "INSERT OR REPLACE INTO record (kind, id, body) VALUES (?1, ?2, ?3)",
	[REMOVE] = "DELETE FROM record WHERE kind = ?1 AND id = ?2",
	[EACH] = "SELECT id, body FROM record WHERE kind = ?1 ORDER BY id",
};

/* Step n brings a catalog of version n to version n + 1. A step that has been released is never changed. */
static const char *const migrations[] = {
	"CREATE TABLE record (kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID",
};

#define VERSION ((int)(sizeof migrations / sizeof migrations[0]))

struct catalog {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
};

static int fail(struct catalog *catalog, struct error *error, const char *doing)
{
	int code = sqlite3_errcode(catalog->db) & 0xff;

	return error_set(error, code == SQLITE_FULL ? -ENOSPC : -EIO, "the catalog failed while %s: %s", doing,
			 sqlite3_errmsg(catalog->db));
}

static int execute(struct catalog *catalog, const char *sql, struct error *error, const char *doing)
{
	return sqlite3_exec(catalog->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(catalog, error, doing);
}

static int read_version(struct catalog *catalog, int *out_version, struct error *error)
{
	sqlite3_stmt *statement;
	int result = 0;

	if (sqlite3_prepare_v2(catalog->db, "PRAGMA user_version", -1, &statement, NULL) != SQLITE_OK)
		return fail(catalog, error, "reading its version");
	if (sqlite3_step(statement) == SQLITE_ROW)
		*out_version = sqlite3_column_int(statement, 0);
	else
		result = fail(catalog, error, "reading its version");
	sqlite3_finalize(statement);
	return result;
}

static int migrate(struct catalog *catalog, struct error *error)
{
	char sql[64];
	int version = 0, result = read_version(catalog, &version, error);

	if (result == 0 && version > VERSION)
		return error_set(error, -EPROTO, "the catalog is of version %d, made by a newer offsited; this one knows version %d",
				 version, VERSION);
	for (; result == 0 && version < VERSION; version++) {
		snprintf(sql, sizeof sql, "PRAGMA user_version = %d", version + 1);
		result = execute(catalog, "BEGIN IMMEDIATE", error, "updating its schema");
		if (result == 0)
			result = execute(catalog, migrations[version], error, "updating its schema");
		if (result == 0)
			result = execute(catalog, sql, error, "updating its schema");
		if (result == 0)
			result = execute(catalog, "COMMIT", error, "updating its schema");
	}
	return result;
}

int catalog_open(const char *path, struct catalog **out_catalog, struct error *error)
{
	struct catalog *catalog = memory_new(1, sizeof *catalog);
	int result = 0;

	if (sqlite3_open_v2(path, &catalog->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK)
		result = error_set(error, -EIO, "cannot open the catalog %s: %s", path, sqlite3_errmsg(catalog->db));
	if (result == 0)
		result = execute(catalog, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
				 error, "opening");
	if (result == 0)
		result = migrate(catalog, error);
	for (int i = 0; result == 0 && i < STATEMENTS; i++) {
		if (sqlite3_prepare_v3(catalog->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT, &catalog->statements[i],
				       NULL) != SQLITE_OK)
			result = fail(catalog, error, "opening");
	}
	if (result < 0) {
		catalog_close(catalog);
		return result;
	}
	*out_catalog = catalog;
	return 0;
}

void catalog_close(struct catalog *catalog)
{
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(catalog->statements[i]);
	sqlite3_close(catalog->db);
	free(catalog);
}

/* Runs a statement that gives no rows. */
static int run(struct catalog *catalog, enum statement which, struct error *error, const char *doing)
{
	sqlite3_stmt *statement = catalog->statements[which];
	int result = sqlite3_step(statement) == SQLITE_DONE ? 0 : fail(catalog, error, doing);

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return result;
}

static void bind(struct catalog *catalog, enum statement which, int index, const char *text)
{
	sqlite3_bind_text(catalog->statements[which], index, text, -1, SQLITE_STATIC);
}

int catalog_begin(struct catalog *catalog, struct error *error)
{
	return run(catalog, BEGIN, error, "beginning a change");
}

int catalog_commit(struct catalog *catalog, struct error *error)
{
	int result = run(catalog, COMMIT, error, "committing a change");

	if (result < 0)
		catalog_rollback(catalog);
	return result;
}

void catalog_rollback(struct catalog *catalog)
{
	if (!sqlite3_get_autocommit(catalog->db))
		run(catalog, ROLLBACK, NULL, "undoing a change");
}

int catalog_put(struct catalog *catalog, const char *kind, const char *id, const char *body, struct error *error)
{
	bind(catalog, PUT, 1, kind);
	bind(catalog, PUT, 2, id);
	bind(catalog, PUT, 3, body);
	return run(catalog, PUT, error, "writing a record");
}

int catalog_remove(struct catalog *catalog, const char *kind, const char *id, struct error *error)
{
	bind(catalog, REMOVE, 1, kind);
	bind(catalog, REMOVE, 2, id);
	return run(catalog, REMOVE, error, "removing a record");
}

int catalog_each(struct catalog *catalog, const char *kind,
		 int (*on_record)(void *data, const char *id, const char *body, struct error *error), void *data,
		 struct error *error)
{
	sqlite3_stmt *statement = catalog->statements[EACH];
	int step, result = 0;

	bind(catalog, EACH, 1, kind);
	while ((step = sqlite3_step(statement)) == SQLITE_ROW && result == 0)
		result = on_record(data, (const char *)sqlite3_column_text(statement, 0),
				   (const char *)sqlite3_column_text(statement, 1), error);
	if (result == 0 && step != SQLITE_DONE)
		result = fail(catalog, error, "reading records");
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return result;
}
