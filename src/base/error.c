#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *error, int code, const char *format, ...)
{
	va_list arguments;

	if (error == NULL)
		return code;
	error->code = code;
	va_start(arguments, format);
	vsnprintf(error->text, sizeof error->text, format, arguments);
	va_end(arguments);
	return code;
}

int error_wrap(struct error *error, const char *format, ...)
{
	char inner[sizeof error->text];
	va_list arguments;
	size_t size;

	if (error == NULL)
		return 0;
	memcpy(inner, error->text, sizeof inner);
	va_start(arguments, format);
	vsnprintf(error->text, sizeof error->text, format, arguments);
	va_end(arguments);
	size = strlen(error->text);
	snprintf(error->text + size, sizeof error->text - size, ": %s", inner);
	return error->code;
}

const char *error_meaning(int code)
{
	const char *text = strerrordesc_np(code < 0 ? -code : code);

	return text == NULL ? "unknown error" : text;
}

int error_set_errno(struct error *error, int code, const char *format, ...)
{
	va_list arguments;
	size_t size;

	if (error == NULL)
		return code;
	error->code = code;
	va_start(arguments, format);
	vsnprintf(error->text, sizeof error->text, format, arguments);
	va_end(arguments);
	size = strlen(error->text);
	snprintf(error->text + size, sizeof error->text - size, ": %s", error_meaning(code));
	return code;
}
