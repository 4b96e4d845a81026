/* What the NBD servers of all shards share: which shard has which export, the number of clients, and the way from one shard to
 * another.
 *
 * Any thread, under one mutex, which is taken when something is looked up, comes, goes or moves, never for a request. It is held
 * for no longer than that takes, and a loop_post is the only other lock taken under it. */
#ifndef DAEMON_EXPORTS_H
#define DAEMON_EXPORTS_H

#include <stdbool.h>
#include <stdint.h>

struct env;
struct exports;
struct nbd_export;
struct nbd_server;

/* Gives an empty table, for `shards` servers with `clients_max` clients together. */
struct exports *exports_new(unsigned shards, uint32_t clients_max);
/* After the last server is gone. */
void exports_free(struct exports *exports);

/* --- exports --- */

/* -EEXIST: there is one of that name. Copies the texts. */
int exports_add(struct exports *exports, const char *name, const char *description, unsigned shard);
/* Harmless when there is none. */
void exports_remove(struct exports *exports, const char *name);
/* True: *out_shard has it, or will have when what is on its way there has arrived. */
bool exports_find(struct exports *exports, const char *name, unsigned *out_shard);
/* Fills in name and description of the next one, false past the last; *place is 0 at first. What is there from the first call to
 * the last is met once, whatever comes and goes meanwhile. */
bool exports_next(struct exports *exports, uint32_t *place, struct nbd_export *out_export);

/* --- servers, and what is posted to them --- */

/* The server of that shard takes what is posted to it, until exports_leave. Keeps both. */
void exports_join(struct exports *exports, unsigned shard, struct env *env, struct nbd_server *server);
/* From now on nothing is posted to it. What is on its way still arrives: the loop must run until exports_awaits says false. */
void exports_leave(struct exports *exports, unsigned shard);
/* Whether something is on its way to the shard. */
bool exports_awaits(struct exports *exports, unsigned shard);

/* Calls fn(data) on the shard's thread, which calls exports_arrived there; *out_server is set before. In the order of posting.
 * -ESHUTDOWN: no server takes anything there; then nothing was changed. */
int exports_post(struct exports *exports, unsigned shard, void (*fn)(void *data), void *data, struct nbd_server **out_server);
/* As exports_post; and in the same step the export, if there is one of that name, becomes the shard's: whoever is told of it
 * from now on, and posts, comes after it. */
int exports_move(struct exports *exports, const char *name, unsigned shard, void (*fn)(void *data), void *data);
void exports_arrived(struct exports *exports, unsigned shard);

/* --- clients, of all shards together --- */

/* Counts one more and gives its number, for the log; 0: there are too many (which is logged once, until one leaves). */
uint64_t exports_admit(struct exports *exports);
void exports_dismiss(struct exports *exports);

#endif
