/* What lies behind the door for fuzz_request: stands in for control.h and catalog.h, so that no input leaves anything behind for
 * the next one. Keys and policies are the real ones. */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/auth.h"

struct http_request;

enum world_caller { NOBODY, ROOT, USER, SESSION, CALLERS };

struct world {
	char folder[64];
	struct auth *auth;
	struct auth_key keys[CALLERS];
	char *token; /* of the session */
	unsigned nonces; /* handed out so far */
	/* of this input */
	const struct http_request *request;
	uint8_t answer; /* what control/ says: bit 7: later, bits 7 and 6: never; the rest a refusal */
	unsigned calls;  /* of control/ */
	unsigned writes; /* to the catalog */
};
extern struct world world;

void world_init(void);
/* As it was at first, when the last input or many have left something behind. */
void world_renew(void);
/* Answers the call that waits, if it is to be answered. */
void world_answer(void);

#endif
