/* Client tokens: a call that is repeated gets the first one's answer, for a day, through restarts, at whichever site it is
 * asked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "control/internal.h"

#define TOKEN_S (24u * 3600u)
#define EXPIRE_S 60u
#define TOKENS_MAX 500000u /* then the oldest go before their day is over */
#define PUSH_MAX 2000u /* tokens in one message: well below ENGINE_MESSAGE_MAX */

/* What was asked, but for the token itself. */
static void request_digest(const struct control_request *request, char out[2 * SHA256_SIZE + 1])
{
	struct control_request bare = *request;
	uint8_t digest[SHA256_SIZE];
	json_t *json;
	char *text;

	bare.client_token[0] = 0;
	json = request_to_json(&bare);
	text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	hash_sha256(text, strlen(text), digest);
	hash_to_hex(digest, sizeof digest, out);
	free(text);
	json_decref(json);
}

static struct token *token_find(struct control *control, const char *text)
{
	const struct list *found = index_find(&control->tokens_by_text, text);

	return found == NULL ? NULL : container_of(found->next, struct token, by_text.entry);
}

static void token_add(struct control *control, struct token *token)
{
	list_append(&control->tokens, &token->entry);
	index_put(&control->tokens_by_text, &token->by_text, token->text);
	control->token_count++;
}

static void token_free(struct control *control, struct token *token)
{
	index_put(&control->tokens_by_text, &token->by_text, "");
	list_remove(&token->entry);
	control->token_count--;
	free(token);
}

void tokens_unload(struct control *control)
{
	list_for_each(entry, &control->tokens)
		token_free(control, container_of(entry, struct token, entry));
}

static void token_forget(struct control *control, struct token *token)
{
	if (!token->running && catalog_begin(control->catalog, NULL) == 0) {
		catalog_remove(control->catalog, "token", token->text, NULL);
		catalog_commit(control->catalog, NULL);
	}
	token_free(control, token);
}

void tokens_expire(struct control *control)
{
	uint64_t now_s = control_now_s();

	if (now_s < control->tokens_looked_s + EXPIRE_S && control->token_count <= TOKENS_MAX)
		return;
	control->tokens_looked_s = now_s;
	list_for_each(entry, &control->tokens) {
		struct token *token = container_of(entry, struct token, entry);

		if (!token->running && (token->at_s + TOKEN_S < now_s || control->token_count > TOKENS_MAX))
			token_forget(control, token);
	}
}

/* "<digest> <seconds> <id>" */
static void token_write(const struct token *token, char *out, size_t size)
{
	snprintf(out, size, "%s %llu %s", token->digest, (unsigned long long)token->at_s, token->id);
}

static void token_store(struct control *control, const struct token *token)
{
	char body[256];

	token_write(token, body, sizeof body);
	if (catalog_begin(control->catalog, NULL) == 0) {
		catalog_put(control->catalog, "token", token->text, body, NULL);
		catalog_commit(control->catalog, NULL);
	}
}

int token_load(struct control *control, const char *text, const char *body)
{
	struct token *token = memory_new(1, sizeof *token);
	const char *first = strchr(body, ' '), *second = first == NULL ? NULL : strchr(first + 1, ' ');

	if (strlen(text) >= sizeof token->text || second == NULL || first - body != 2 * SHA256_SIZE ||
	    strlen(second + 1) >= sizeof token->id) {
		free(token);
		return -1;
	}
	text_copy(token->digest, sizeof token->digest, body);
	text_copy(token->id, sizeof token->id, second + 1);
	text_copy(token->text, sizeof token->text, text);
	token->at_s = strtoull(first + 1, NULL, 10);
	token_add(control, token);
	return 0;
}

void token_end(struct call *call, bool keep)
{
	struct token *token = token_find(call->control, call->request.client_token);

	if (token == NULL || !token->running)
		return;
	if (!keep) {
		token_forget(call->control, token);
		return;
	}
	token->running = false;
	snprintf(token->id, sizeof token->id, "%s", call->made_id);
	token_store(call->control, token);
	for (size_t i = 0; i < call->control->config.peer_count; i++)
		tokens_push(call->control, &call->control->peers[i], token);
}

bool token_begin(struct call *call)
{
	const char *text = call->request.client_token;
	struct token *token = text[0] == 0 ? NULL : token_find(call->control, text);
	char digest[2 * SHA256_SIZE + 1];

	if (text[0] == 0)
		return false;
	request_digest(&call->request, digest);
	if (token != NULL && strcmp(token->digest, digest) != 0) {
		call_end(call, REFUSE_TOKEN_MISMATCH, "client token %s was used before with other parameters", text);
	} else if (token != NULL && token->running) {
		call_end(call, REFUSE_TOKEN_RUNNING, "the first request with client token %s still runs", text);
	} else if (token != NULL) {
		snprintf(call->made_id, sizeof call->made_id, "%s", token->id);
		call_end(call, REFUSE_NONE, "%s", "");
	} else {
		token = memory_new(1, sizeof *token);
		token->running = true;
		token->at_s = control_now_s();
		snprintf(token->text, sizeof token->text, "%s", text);
		memcpy(token->digest, digest, sizeof token->digest);
		token_add(call->control, token);
		call->owns_token = true;
		return false;
	}
	return true;
}

/* --- the other sites --- */

static void push(struct control *control, const struct peer *peer, json_t *tokens)
{
	json_t *news = json_object();

	json_object_set_new(news, "type", json_string("tokens"));
	json_object_set_new(news, "tokens", tokens);
	tell_peer(control, peer->site.zone, news);
}

static void add(json_t *tokens, const struct token *token)
{
	char body[256];

	token_write(token, body, sizeof body);
	json_array_append_new(tokens, json_pack("[s, s]", token->text, body));
}

/* One, or when `only` is NULL the newest of all, since the link was down. */
void tokens_push(struct control *control, const struct peer *peer, const struct token *only)
{
	json_t *tokens;

	if (!peer->linked)
		return;
	tokens = json_array();
	if (only != NULL) {
		add(tokens, only);
	} else {
		for (struct list *entry = control->tokens.prev; entry != &control->tokens && json_array_size(tokens) < PUSH_MAX;
		     entry = entry->prev) {
			const struct token *token = container_of(entry, struct token, entry);

			if (!token->running)
				add(tokens, token);
		}
	}
	if (json_array_size(tokens) == 0)
		json_decref(tokens);
	else
		push(control, peer, tokens);
}

/* "tokens": what the peer has answered; what is known here already stays. */
void on_tokens(struct debt *debt, const json_t *message)
{
	struct control *control = debt_control(debt);
	json_t *tokens = json_object_get(message, "tokens"), *row;
	size_t index;

	json_array_foreach(tokens, index, row) {
		const char *text = json_string_value(json_array_get(row, 0)), *body = json_string_value(json_array_get(row, 1));

		if (index >= PUSH_MAX || text == NULL || body == NULL || token_find(control, text) != NULL ||
		    token_load(control, text, body) < 0)
			continue;
		token_store(control, container_of(control->tokens.prev, struct token, entry));
	}
	log_event(LOG_DEBUG, "control.tokens", "told=%zu", json_array_size(tokens));
	debt_pay(debt, REFUSE_NONE, "");
}
