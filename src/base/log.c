#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A line is cut here: longer than any error text with an account's name before it. */
#define LINE_MAX_OCTETS 2048

static struct log_settings current = {.level = LOG_LEVEL_WARN};
static const char *account_name;
static const char *process_name = "poller";

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_VERBOSE] = "verbose",
	[LOG_LEVEL_WIRE] = "wire",
};

void
log_init(const struct log_settings *settings)
{
	current = *settings;
}

void
log_set_account(const char *name)
{
	account_name = name;
}

void
log_set_process(const char *name)
{
	process_name = name;
}

bool
log_is_on(enum log_level level)
{
	return level <= current.level;
}

bool
log_append_json_string(char *out, size_t size, const char *text)
{
	size_t used = strlen(out);

	if (used + 3 > size)
		return false;
	out[used++] = '"';
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (used + 8 > size)
			return false;
		if (*p == '"' || *p == '\\') {
			out[used++] = '\\';
			out[used++] = (char)*p;
		} else if (*p < 0x20 || *p >= 0x7f) {
			used += (size_t)snprintf(out + used, size - used, "\\u%04x", *p);
		} else {
			out[used++] = (char)*p;
		}
	}
	out[used++] = '"';
	out[used] = '\0';
	return true;
}

static void
format_json(char *line, size_t size, enum log_level level, const char *text)
{
	struct tm utc;
	time_t now = time(NULL);

	gmtime_r(&now, &utc);
	strftime(line, size, "{\"time\":\"%Y-%m-%dT%H:%M:%SZ\",\"level\":\"", &utc);
	snprintf(line + strlen(line), size - strlen(line), "%s\"", level_names[level]);
	if (account_name != NULL) {
		snprintf(line + strlen(line), size - strlen(line), ",\"account\":");
		log_append_json_string(line, size - 16, account_name);
	}
	snprintf(line + strlen(line), size - strlen(line),
		",\"process\":\"%s\",\"text\":", process_name);
	if (!log_append_json_string(line, size - 4, text))
		snprintf(line + strlen(line), size - strlen(line), "\"");
	snprintf(line + strlen(line), size - strlen(line), "}\n");
}

static void
format_text(char *line, size_t size, const char *text)
{
	size_t len;

	snprintf(line, size, "%spophaul: %s%s%s", current.shares_terminal ? "\r\033[K" : "",
		account_name != NULL ? account_name : "", account_name != NULL ? ": " : "", text);
	len = strlen(line);
	if (len > size - 2)
		len = size - 2;
	line[len] = '\n';
	line[len + 1] = '\0';
}

void
log_line(enum log_level level, const char *format, ...)
{
	char text[LINE_MAX_OCTETS], line[LINE_MAX_OCTETS * 7];
	va_list args;

	if (!log_is_on(level))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (current.format == LOG_FORMAT_JSON)
		format_json(line, sizeof line, level, text);
	else
		format_text(line, sizeof line, text);

	/* Nobody is left to tell when standard error cannot be written. */
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		return;
}
