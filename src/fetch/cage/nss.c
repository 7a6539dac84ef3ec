#include "fetch/cage/nss.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define CONFIGURATION "/etc/nsswitch.conf"
#define NSCD          "/var/run/nscd/socket"

/* More than any has; what stands behind counts as unknown. */
#define TEXT_MAX 65536

static const char KEY[] = "hosts:";

/* A module that is not among them may go anywhere. */
static const struct {
	const char *name;
	enum nss_reach reach;
} modules[] = {
	{"files",         NSS_DNS    },
	{"dns",           NSS_DNS    },
	{"myhostname",    NSS_DNS    },
	{"libvirt",       NSS_DNS    },
	{"libvirt_guest", NSS_DNS    },
	{"resolve",       NSS_SOCKETS},
	{"mymachines",    NSS_SOCKETS},
	{"mdns",          NSS_SOCKETS},
	{"mdns4",         NSS_SOCKETS},
	{"mdns6",         NSS_SOCKETS},
	{"mdns_minimal",  NSS_SOCKETS},
	{"mdns4_minimal", NSS_SOCKETS},
	{"mdns6_minimal", NSS_SOCKETS},
	{"sss",           NSS_SOCKETS},
	{"winbind",       NSS_SOCKETS},
};

static enum nss_reach
reach_of_module(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
		if (strlen(modules[i].name) == len && memcmp(modules[i].name, name, len) == 0)
			return modules[i].reach;
	}
	return NSS_ANYWHERE;
}

/* The modules of a line's rest; what stands in brackets is what to do after them. */
static enum nss_reach
reach_of_line(const char *at, const char *end)
{
	enum nss_reach most = NSS_DNS, reach;
	const char *word;

	while (at < end) {
		if (isspace((unsigned char)*at)) {
			at++;
			continue;
		}
		if (*at == '[') {
			while (at < end && *at != ']')
				at++;
			at += at < end;
			continue;
		}
		for (word = at; at < end && !isspace((unsigned char)*at) && *at != '[';)
			at++;
		reach = reach_of_module(word, (size_t)(at - word));
		if (reach > most)
			most = reach;
	}
	return most;
}

enum nss_reach
nss_reach_of(const char *text, size_t len)
{
	const char *end = text + len, *line_end, *comment;
	/* Without the line, glibc asks DNS and the file of hosts. */
	enum nss_reach most = NSS_DNS, reach;

	for (; text < end; text = line_end + 1) {
		line_end = memchr(text, '\n', (size_t)(end - text));
		if (line_end == NULL)
			line_end = end;
		while (text < line_end && isspace((unsigned char)*text))
			text++;
		if ((size_t)(line_end - text) < strlen(KEY) ||
			strncasecmp(text, KEY, strlen(KEY)) != 0)
			continue;
		comment = memchr(text, '#', (size_t)(line_end - text));
		reach = reach_of_line(text + strlen(KEY), comment != NULL ? comment : line_end);
		if (reach > most)
			most = reach;
	}
	return most;
}

static enum nss_reach
reach_of_file(void)
{
	static char text[TEXT_MAX];
	ssize_t got;
	int fd = open(CONFIGURATION, O_RDONLY | O_CLOEXEC);

	/* Some systems have it elsewhere. */
	if (fd < 0)
		return NSS_ANYWHERE;
	got = read(fd, text, sizeof text);
	close(fd);
	if (got < 0 || (size_t)got == sizeof text)
		return NSS_ANYWHERE;
	return nss_reach_of(text, (size_t)got);
}

enum nss_reach
nss_reach(void)
{
	enum nss_reach reach = reach_of_file();

	if (reach == NSS_DNS && access(NSCD, F_OK) == 0)
		return NSS_SOCKETS;
	return reach;
}
