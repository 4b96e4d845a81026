#include "auth/audit.h"

#include <string.h>

#include "auth/auth.h"
#include "base/log.h"

/* From outside: quotes would end a value in the log too early. */
static void clean(const char *text, char *out, size_t size)
{
	size_t length = strnlen(text, size - 1);

	for (size_t i = 0; i < length; i++)
		out[i] = text[i] == '"' || text[i] == '\\' || (unsigned char)text[i] < ' ' ? '?' : text[i];
	out[length] = '\0';
}

void audit_log(const struct audit *audit)
{
	const struct auth_caller *caller = audit->caller;
	bool is_role = caller->role[0] != '\0';
	char object[96], key[AUTH_KEY_ID_SIZE];

	clean(audit->object[0] == '\0' ? "-" : audit->object, object, sizeof(object));
	clean(caller->key_id, key, sizeof(key));
	log_event(LOG_INFO, "api.call", "request=%s from=%s key=\"%s\" %s=\"%s\" action=%s:%s object=\"%s\" status=%u code=%s",
		  audit->request_id, audit->source[0] == '\0' ? "-" : audit->source, key, is_role ? "role" : "user",
		  !audit->known ? "" : is_role ? caller->role : caller->user, audit->product == NULL ? "-" : audit->product,
		  audit->product == NULL ? "-" : audit->action, object, audit->status, audit->code);
}
