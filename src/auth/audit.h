/* The line that says who asked for what, from where, and what became of it: one a call, of whatever dialect. Any thread. */
#ifndef AUTH_AUDIT_H
#define AUTH_AUDIT_H

#include <stdbool.h>

struct auth_caller;

struct audit {
	const char *request_id;
	const char *source;     /* the caller's address; "" when it is not known */
	const struct auth_caller *caller;
	bool known;             /* the caller has been proven: before that only the key they named counts */
	const char *product;    /* of the action, as policies call it: "ebs"; NULL: no action was found */
	const char *action;
	const char *object;     /* what it is about, as the caller says: "" for nothing */
	unsigned status;        /* of the answer */
	const char *code;       /* "OK", or the error's */
};

void audit_log(const struct audit *audit);

#endif
