/* Nonces that were used: each counts once, for as long as its call could be timely, over restarts too.
 *
 * A file that is mapped, so that a killed process loses none; nonces_settle brings it to stable storage, before a call changes
 * anything. After a power cut only calls that read, of the moments before, can be repeated. The control thread.
 *
 * File: a page "OFSN", version 1 (u32), places (u64, a power of two), little endian as the machine; then the places, 16 bytes
 * each: hash of key and nonce, and when it was used (seconds since 1970; 0: never taken). Open addressing, linear. A place that
 * was taken once stays taken until the file is made anew, so that a search may end at the first that was not. */
#ifndef AUTH_NONCES_H
#define AUTH_NONCES_H

#include <stdint.h>

struct error;
struct nonces;

#define NONCES_PLACES_MIN (UINT64_C(1) << 15)
#define NONCES_PLACES_MAX (UINT64_C(1) << 24) /* half of them live: 4,600 calls a second for half an hour; 256 MiB */

/* `limit_s`: how long a nonce is remembered. */
int nonces_open(const char *path, int64_t limit_s, struct nonces **out_nonces, struct error *error);
void nonces_close(struct nonces *nonces);

/* 0: not seen within the limit, and now taken; -EEXIST; -ENOSPC when too many live; -EIO. */
int nonces_use(struct nonces *nonces, uint64_t hash, int64_t now_s);
/* Those used so far outlive a power cut. 0 or -EIO. */
int nonces_settle(struct nonces *nonces);

#endif
