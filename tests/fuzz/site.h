/* A whole site without engine for fuzz_huawei: the real control/, jobs/, auth/ and catalog (SQLite, in memory), one linked peer,
 * and a shard that answers at once, or when all other limits are over. Time passes when site_pass says so, and random numbers
 * repeat, so that an input does the same each time. */
#ifndef FUZZ_SITE_H
#define FUZZ_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/auth.h"

struct huawei;

enum site_caller { NOBODY, ROOT, USER, SIGNER, CALLERS };

/* How the rest of the world behaves for one input. */
enum site_peer { PEER_GOOD, PEER_SILENT, PEER_UNLINKED, PEER_GARBAGE, PEER_KINDS = PEER_GARBAGE + 12 };
enum site_shard { SHARD_GOOD, SHARD_LATE, SHARD_FAILS, SHARD_FULL, CATALOG_FAILS, SHARD_KINDS };

struct site {
	struct auth *auth;
	struct huawei *huawei;
	struct auth_key key; /* of the signer */
	char *tokens[CALLERS];
	unsigned writes; /* to the catalog, of this input */
	enum site_peer peer;
	enum site_shard shard;
};
extern struct site site;

void site_init(void);
/* A site with what names stand for, its pairs and its group in that state (enum pair_state). Before each input. */
void site_renew(unsigned state);
/* For one input. */
void site_behave(unsigned peer, unsigned shard);
/* The site can be opened again with what its catalog holds, or the process ends. */
void site_check_catalog(void);
/* Lets time pass and all answers come, until no job runs or the longest of all limits is over. Whether *done is not 0 then. */
bool site_pass(const unsigned *done);

/* What an input writes as "$" and a letter: "$d" the id of a disk, "$p" the project; NULL: nothing. */
const char *site_name(char letter);

#endif
