#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"

/* A text is cut here: longer than any error text with an account's name before it. */
#define TEXT_MAX 2048

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
	/* Its file is read once, and not when a process may no longer open it. */
	if (settings->format == LOG_FORMAT_JSON)
		tzset();
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

static void
format_json(struct buf *line, enum log_level level, const char *text)
{
	time_t now = time(NULL);
	char when[80] = "";
	struct tm utc;

	/* Not strftime(3), which looks at the file of the time zone each time. */
	if (gmtime_r(&now, &utc) != NULL)
		snprintf(when, sizeof when, "%04d-%02d-%02dT%02d:%02d:%02dZ", utc.tm_year + 1900,
			utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
	buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\"", when, level_names[level]);
	if (account_name != NULL) {
		buf_append_string(line, ",\"account\":");
		json_append_string(line, account_name);
	}
	buf_printf(line, ",\"process\":\"%s\",\"text\":", process_name);
	json_append_string(line, text);
	buf_append_string(line, "}\n");
}

static void
format_text(struct buf *line, const char *text)
{
	if (current.shares_terminal)
		buf_append_string(line, "\r\033[K");
	buf_append_string(line, "pophaul: ");
	if (account_name != NULL)
		buf_printf(line, "%s: ", account_name);
	buf_printf(line, "%s\n", text);
}

void
log_line(enum log_level level, const char *format, ...)
{
	struct buf line = {0};
	char text[TEXT_MAX];
	va_list args;

	if (!log_is_on(level))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (current.format == LOG_FORMAT_JSON)
		format_json(&line, level, text);
	else
		format_text(&line, text);

	/* Nobody is left to tell when standard error cannot be written. */
	(void)!write(STDERR_FILENO, buf_data(&line), line.len);
	buf_release(&line);
}
