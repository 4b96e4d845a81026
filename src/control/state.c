#include "control/state.h"

const char *disk_state_name(enum disk_state state)
{
	static const char *const names[DISK_STATES] = {
#define X(name, text) text,
		DISK_STATE_LIST(X)
#undef X
	};

	return state < DISK_STATES ? names[state] : "?";
}

const char *pair_state_name(enum pair_state state)
{
	static const char *const names[PAIR_STATES] = {
#define X(name, text) text,
		PAIR_STATE_LIST(X)
#undef X
	};

	return state < PAIR_STATES ? names[state] : "?";
}

const char *pair_verb_name(enum pair_verb verb)
{
	static const char *const names[PAIR_VERBS] = {
#define X(name, text) text,
		PAIR_VERB_LIST(X)
#undef X
	};

	return verb < PAIR_VERBS ? names[verb] : "?";
}

const char *refusal_name(enum refusal refusal)
{
	static const char *const names[REFUSALS] = {
#define X(name, text) #name,
		REFUSAL_LIST(X)
#undef X
	};

	return refusal < REFUSALS ? names[refusal] : "?";
}

const char *refusal_text(enum refusal refusal)
{
	static const char *const texts[REFUSALS] = {
#define X(name, text) text,
		REFUSAL_LIST(X)
#undef X
	};

	return refusal < REFUSALS ? texts[refusal] : "?";
}
