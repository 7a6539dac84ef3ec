#include "maildrop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

/* Text goes to the output in pieces of at most this many octets. */
#define PIECE 65536

struct message *
maildrop_add(struct maildrop *drop, enum message_kind kind)
{
	struct message *message;

	/* Grown by doubling: 100,000 files in a folder are usual in a benchmark. */
	if ((drop->item_count & (drop->item_count - 1)) == 0)
		drop->items = grow(drop->items, drop->item_count != 0 ? drop->item_count * 2 : 1,
			sizeof *drop->items);
	message = &drop->items[drop->item_count++];
	memset(message, 0, sizeof *message);
	message->kind = kind;
	return message;
}

static uint64_t
wire_octets(const char *text, size_t len)
{
	const char *at = text, *end = text + len, *newline;
	uint64_t octets = len;

	while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		octets += newline == text || newline[-1] != '\r';
		at = newline + 1;
	}
	return at != end ? octets + 2 : octets;
}

void
maildrop_set_text(struct message *message, const char *text, size_t len)
{
	free(message->text);
	message->kind = MESSAGE_TEXT;
	message->text = copy_text(text, len);
	message->len = len;
	message->octets = wire_octets(text, len);
}

/* The file in memory, mapped (an empty file is no memory at all); NULL when it is gone. */
static const char *
map_file(const char *path, size_t *len_out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *text;

	if (fd < 0 && errno == ENOENT)
		return NULL;
	if (fd < 0 || fstat(fd, &st) != 0)
		die("cannot open '%s': %s", path, strerror(errno));
	*len_out = (size_t)st.st_size;
	if (st.st_size == 0) {
		close(fd);
		return "";
	}
	text = mmap(NULL, *len_out, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (text == MAP_FAILED)
		die("cannot map '%s': %s", path, strerror(errno));
	close(fd);
	return text;
}

static void
unmap_file(const char *text, size_t len)
{
	if (len > 0)
		munmap((void *)(uintptr_t)text, len);
}

bool
maildrop_set_file(struct message *message, const char *path)
{
	size_t len;
	const char *text = map_file(path, &len);

	if (text == NULL)
		return false;
	message->kind = MESSAGE_FILE;
	message->text = copy_text(path, strlen(path));
	message->octets = wire_octets(text, len);
	unmap_file(text, len);
	return true;
}

static void
empty(struct maildrop *drop)
{
	for (size_t i = 0; i < drop->item_count; i++) {
		free(drop->items[i].text);
		free(drop->items[i].listed);
		free(drop->items[i].uid);
	}
	free(drop->items);
	drop->items = NULL;
	drop->item_count = 0;
}

static int
is_message_name(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && strcmp(entry->d_name, "README") != 0;
}

static void
add_folder_file(struct maildrop *drop, const char *name)
{
	const char *prefix = drop->uid_prefix != NULL ? drop->uid_prefix : "";
	struct message *message;
	char path[4096], uid[1024];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", drop->folder, name);
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return;
	message = maildrop_add(drop, MESSAGE_FILE);
	if (!maildrop_set_file(message, path)) {
		/* Another session has just deleted it. */
		drop->item_count--;
		return;
	}
	message->is_in_folder = true;
	snprintf(uid, sizeof uid, "%s%s", prefix, name);
	message->uid = copy_text(uid, strlen(uid));
}

void
maildrop_scan(struct maildrop *drop, const char *folder)
{
	struct dirent **names;
	struct stat st;
	int count;

	if (stat(folder, &st) != 0)
		die("cannot read the folder '%s': %s", folder, strerror(errno));
	/*
	 * A change in the same tick as the last scan leaves the time alone: look again for a
	 * second.
	 */
	if (drop->folder != NULL && st.st_mtim.tv_sec == drop->folder_time.tv_sec &&
		st.st_mtim.tv_nsec == drop->folder_time.tv_nsec &&
		time(NULL) > st.st_mtim.tv_sec + 1)
		return;
	drop->folder_time = st.st_mtim;
	if (drop->folder != folder) {
		free(drop->folder);
		drop->folder = copy_text(folder, strlen(folder));
	}
	empty(drop);
	count = scandir(drop->folder, &names, is_message_name, alphasort);
	if (count < 0)
		die("cannot read the folder '%s': %s", drop->folder, strerror(errno));
	for (int i = 0; i < count; i++) {
		add_folder_file(drop, names[i]->d_name);
		free(names[i]);
	}
	free(names);
}

uint64_t
maildrop_count(const struct maildrop *drop)
{
	return drop->item_count + drop->synthetic_count;
}

static void *
shared_memory(size_t size)
{
	void *memory =
		mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("cannot share %zu octets: %s", size, strerror(errno));
	return memory;
}

void
maildrop_share(struct maildrop *drop, size_t rules)
{
	drop->deleted = shared_memory((size_t)maildrop_count(drop));
	drop->uses = shared_memory((rules + 1) * sizeof *drop->uses);
}

const struct message *
maildrop_item(const struct maildrop *drop, uint64_t index)
{
	return index < drop->item_count ? &drop->items[index] : NULL;
}

bool
maildrop_is_there(const struct maildrop *drop, uint64_t index)
{
	const struct message *message = maildrop_item(drop, index);

	if (message != NULL && message->is_in_folder)
		return true;
	return drop->deleted[index] == 0 && (message == NULL || !message->is_absent);
}

uint64_t
maildrop_octets(const struct maildrop *drop, uint64_t index)
{
	return index < drop->item_count ? drop->items[index].octets : drop->synthetic_octets;
}

const char *
maildrop_uid(const struct maildrop *drop, uint64_t index, size_t *len_out)
{
	const struct message *message = maildrop_item(drop, index);
	const char *prefix = drop->uid_prefix != NULL ? drop->uid_prefix : "uid-";
	static char made[8192]; /* longer than any id that a client takes as it is */
	size_t len = strlen(prefix);

	if (message != NULL && message->uid != NULL) {
		*len_out = strlen(message->uid);
		return message->uid;
	}
	if (len > sizeof made - 20)
		die("the UIDL prefix is too long");
	memcpy(made, prefix, len);
	*len_out = len + format_number(made + len, index + 1);
	return made;
}

/* What of a text is still to be sent. */
struct cursor {
	const char *at, *end;
	bool is_in_body;
	int64_t lines; /* of the body; -1: all */
};

/*
 * One line, or a piece of a long one. A piece that does not begin its line gets
 * no dot; `is_start` says which, on return for the next piece.
 */
static void
send_piece(struct cursor *cursor, bool *is_start, struct io *io)
{
	size_t left = (size_t)(cursor->end - cursor->at), len;
	const char *newline = memchr(cursor->at, '\n', left < PIECE ? left : PIECE);
	char *out = io_reserve(io, PIECE + 3), *p = out;

	len = newline != NULL ? (size_t)(newline - cursor->at) : left < PIECE ? left : PIECE;
	if (newline != NULL && len > 0 && newline[-1] == '\r')
		len--;
	/* A piece must not end between CR and LF. */
	else if (newline == NULL && left > PIECE && cursor->at[len - 1] == '\r')
		len--;
	if (*is_start && len > 0 && *cursor->at == '.')
		*p++ = '.';
	memcpy(p, cursor->at, len);
	p += len;
	*is_start = newline != NULL || cursor->at + len == cursor->end;
	if (*is_start) {
		*p++ = '\r';
		*p++ = '\n';
	}
	cursor->at = newline != NULL ? newline + 1 : cursor->at + len;
	io_commit(io, (size_t)(p - out));
}

static void
send_text(const char *text, size_t len, int64_t lines, struct io *io)
{
	struct cursor cursor = {.at = text, .end = text + len, .lines = lines};
	bool is_start = true;

	while (cursor.at < cursor.end) {
		bool is_empty = is_start && (*cursor.at == '\n' || *cursor.at == '\r');

		if (cursor.lines >= 0 && cursor.is_in_body && is_start && cursor.lines-- == 0)
			break;
		send_piece(&cursor, &is_start, io);
		cursor.is_in_body = cursor.is_in_body || is_empty;
	}
}

/* A message of exactly `octets` octets on the wire, if that is enough for its header. */
static void
generate(uint64_t number, uint64_t octets, struct bytes *out)
{
	static const char filler[] = "The quick brown fox jumps over the lazy dog, "
				     "and does so once more for good measure.\n";
	char head[512];
	uint64_t left;
	int len;

	len = snprintf(head, sizeof head,
		"From: Sender %" PRIu64 " <sender%" PRIu64 "@example.org>\n"
		"To: jane@example.org\n"
		"Subject: Generated message %" PRIu64 "\n"
		"Date: Sat, 21 Nov 2026 12:00:00 +0000\n"
		"Message-ID: <generated-%" PRIu64 "@example.org>\n"
		"\n",
		number, number, number, number);
	bytes_add(out, head, (size_t)len);
	left = wire_octets(head, (size_t)len);
	left = octets > left ? octets - left : 0;
	while (left > 0) {
		uint64_t line = left < sizeof filler ? left : sizeof filler;

		/* A line of 1 octet cannot be: the line before it leaves one more. */
		if (left == line + 1)
			line--;
		if (line < 2)
			break;
		bytes_add(out, filler, (size_t)line - 2);
		bytes_add(out, "\n", 1);
		left -= line;
	}
}

bool
maildrop_send(const struct maildrop *drop, uint64_t index, int64_t lines, struct io *io)
{
	const struct message *message = maildrop_item(drop, index);
	struct bytes made = {NULL, 0, 0};
	const char *text;
	size_t len;

	if (message != NULL && message->kind == MESSAGE_FILE) {
		text = map_file(message->text, &len);
		if (text == NULL)
			return false;
	} else if (message != NULL && message->kind == MESSAGE_TEXT) {
		text = message->text;
		len = message->len;
	} else {
		generate(index + 1, maildrop_octets(drop, index), &made);
		text = made.data;
		len = made.len;
	}
	io_line(io, "+OK %" PRIu64 " octets", maildrop_octets(drop, index));
	send_text(text, len, lines, io);
	io_write(io, ".\r\n", 3);
	if (message != NULL && message->kind == MESSAGE_FILE)
		unmap_file(text, len);
	bytes_release(&made);
	return true;
}

bool
maildrop_delete(struct maildrop *drop, uint64_t index)
{
	const struct message *message = maildrop_item(drop, index);

	if (message != NULL && message->is_in_folder)
		return unlink(message->text) == 0 || errno == ENOENT;
	drop->deleted[index] = 1;
	return true;
}
