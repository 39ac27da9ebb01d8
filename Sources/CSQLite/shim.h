#include <sqlite3.h>

// What Swift cannot import: a variadic function, a cast in a macro, and macros made of macros.

static inline int skerry_sqlite3_db_config(sqlite3 *db, int option, int value) { return sqlite3_db_config(db, option, value, (int *)0); }

static inline int skerry_sqlite3_bind_text(sqlite3_stmt *statement, int index, const char *text, sqlite3_uint64 byteCount) {
    return sqlite3_bind_text64(statement, index, text, byteCount, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static inline int skerry_sqlite3_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, sqlite3_uint64 byteCount) {
    return sqlite3_bind_blob64(statement, index, bytes, byteCount, SQLITE_TRANSIENT);
}

// The byte of the statement at which the last error arose; -1 where SQLite cannot say, or is older than 3.38.
static inline int skerry_sqlite3_error_offset(sqlite3 *db) {
#if SQLITE_VERSION_NUMBER >= 3038000
    return sqlite3_error_offset(db);
#else
    return -1;
#endif
}

enum {
    skerry_SQLITE_CONSTRAINT_UNIQUE = SQLITE_CONSTRAINT_UNIQUE,
    skerry_SQLITE_CONSTRAINT_PRIMARYKEY = SQLITE_CONSTRAINT_PRIMARYKEY,
    skerry_SQLITE_CONSTRAINT_ROWID = SQLITE_CONSTRAINT_ROWID,
    skerry_SQLITE_CONSTRAINT_FOREIGNKEY = SQLITE_CONSTRAINT_FOREIGNKEY,
    skerry_SQLITE_CONSTRAINT_CHECK = SQLITE_CONSTRAINT_CHECK,
    skerry_SQLITE_CONSTRAINT_NOTNULL = SQLITE_CONSTRAINT_NOTNULL,
};
