/* Errors of the control path: a negative errno and one clear sentence for the user.
 *
 * The one who knows the reason fills it; each layer that adds context wraps it once. The data path uses plain negative
 * errno values and never formats. Any thread; an error belongs to its caller. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

struct error {
	int code;       /* negative errno; 0 when nothing failed */
	char text[256]; /* one sentence, no newline */
};

/* Fills `error` (which may be NULL) and returns `code`, so that `return error_set(...)` reads well. */
int error_set(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the text there is; returns the code there is. */
int error_wrap(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As error_set, with ": <meaning of code>" appended. */
int error_set_errno(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* What an errno means ("no space left on device"), negative or not. Never NULL; not to be freed. */
const char *error_meaning(int code);

#endif
