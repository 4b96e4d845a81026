/* Forms in bodies: what is decoded is encoded again, as both signature versions do, and decoded once more to the same. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/canonical.h"
#include "api/http/http.h"
#include "api/http/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void append_pair(struct text *text, const struct http_parameter *parameter)
{
	text_append(text, "&", text->size > 0);
	text_append_encoded(text, parameter->name);
	text_append(text, "=", 1);
	text_append_encoded(text, parameter->value);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct http_parameters first = { 0 }, again = { 0 };
	struct text text = { 0 };

	if (size > HTTP_BODY_MAX)
		return 0;
	if (http_parameters_add_form(&first, (const char *)bytes, size) == 0) {
		assert(first.count <= HTTP_PARAMETERS_MAX);
		for (size_t i = 0; i < first.count; i++)
			append_pair(&text, &first.rows[i]);
		assert(text.size == 0 || http_parameters_add_form(&again, text.bytes, text.size) == 0);
		assert(again.count == first.count);
		for (size_t i = 0; i < first.count; i++) {
			assert(strcmp(first.rows[i].name, again.rows[i].name) == 0);
			assert(strcmp(first.rows[i].value, again.rows[i].value) == 0);
		}
	}
	free(text.bytes);
	http_parameters_fini(&first);
	http_parameters_fini(&again);
	return 0;
}
