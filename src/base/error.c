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
	char context[sizeof error->text], inner[sizeof error->text];
	va_list arguments;

	if (error == NULL)
		return 0;
	va_start(arguments, format);
	vsnprintf(context, sizeof context, format, arguments);
	va_end(arguments);
	memcpy(inner, error->text, sizeof inner);
	memcpy(error->text, context, sizeof error->text);
	strncat(error->text, ": ", sizeof error->text - strlen(error->text) - 1);
	strncat(error->text, inner, sizeof error->text - strlen(error->text) - 1);
	return error->code;
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
	snprintf(error->text + size, sizeof error->text - size, ": %s", strerror(-code));
	return code;
}
