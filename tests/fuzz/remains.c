#include "remains.h"

#include <dirent.h>

#include "base/buf.h"
#include "base/digest.h"
#include "deliver/state/record.h"
#include "deliver/state/uidl.h"
#include "folder.h"
#include "fuzz.h"

/* A whole file of a mailbox or state: no case makes it bigger. */
#define FILE_MAX ((size_t)64 * 1024 * 1024)

static struct digest_state *digest;
static struct digest *wholes;
static size_t whole_count;

void
remains_begin(void)
{
	digest = digest_new();
	whole_count = 0;
}

void
remains_end(void)
{
	digest_free(digest);
	free(wholes);
	wholes = NULL;
}

static struct digest
digest_of(const void *text, size_t len)
{
	struct digest found;

	digest_add(digest, text, len);
	digest_finish(digest, &found);
	return found;
}

void
remains_note_whole(const void *text, size_t len)
{
	wholes = xreallocarray(wholes, whole_count + 1, sizeof *wholes);
	wholes[whole_count++] = digest_of(text, len);
}

size_t
remains_whole_count(void)
{
	return whole_count;
}

static bool
is_whole(const struct digest *wanted)
{
	for (size_t i = 0; i < whole_count; i++) {
		if (memcmp(wholes[i].bytes, wanted->bytes, DIGEST_SIZE) == 0)
			return true;
	}
	return false;
}

static bool
has_come_whole(const void *text, size_t len)
{
	const struct digest found = digest_of(text, len);

	return is_whole(&found);
}

/* What stands in a folder is nothing but what may. Returns how many entries. */
static size_t
check_folder(const char *path, const char *const *allowed)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	size_t count = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		bool is_allowed = allowed == NULL;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		for (size_t i = 0; allowed != NULL && allowed[i] != NULL; i++)
			is_allowed |= strcmp(entry->d_name, allowed[i]) == 0;
		REQUIRE(is_allowed);
		count++;
	}
	if (dir != NULL)
		closedir(dir);
	return count;
}

static void
check_message_file(const char *path)
{
	struct buf data = {0};
	struct error err;

	REQUIRE(file_read_whole(path, FILE_MAX, &data, NULL, &err) == 0);
	REQUIRE(has_come_whole(buf_data(&data), data.len));
	buf_release(&data);
}

/* Each message in the Maildir came whole, and none came to it more often than that. */
static void
check_maildir(const char *path)
{
	static const char *const folders[] = {"cur", "new", "tmp", NULL};
	char *new = xasprintf("%s/new", path), *tmp = xasprintf("%s/tmp", path);
	struct dirent **entries = NULL;
	int count;

	check_folder(path, folders);
	REQUIRE(check_folder(tmp, NULL) == 0);
	count = scandir(new, &entries, NULL, NULL);
	REQUIRE(count <= 2 + (int)whole_count);
	for (int i = 0; i < count; i++) {
		char *file = xasprintf("%s/%s", new, entries[i]->d_name);

		if (entries[i]->d_name[0] != '.')
			check_message_file(file);
		free(file);
		free(entries[i]);
	}
	free(entries);
	free(new);
	free(tmp);
}

static bool
take_line(struct buf *data, char **line_out, size_t *len_out)
{
	char *end = memchr(buf_data(data), '\n', data->len);

	if (end == NULL)
		return false;
	*line_out = buf_data(data);
	*len_out = (size_t)(end - *line_out);
	return true;
}

static bool
is_from_line(const char *line, size_t len)
{
	return len >= 5 && memcmp(line, "From ", 5) == 0;
}

/* The text of one message, without its quotes and with the empty line that ends it. */
static void
check_mbox_message(const struct buf *text)
{
	const char *data = buf_data(text);
	size_t len = text->len;

	REQUIRE(len != 0 && data[len - 1] == '\n' && (len == 1 || data[len - 2] == '\n'));
	len--;
	/* A last line without an end was given one. */
	REQUIRE(has_come_whole(data, len) || (len != 0 && has_come_whole(data, len - 1)));
}

/*
 * By the letter of mboxrd: a line that begins with "From " begins a message, one that begins with
 * a ">" before any number of them is quoted.
 */
static void
check_mbox(const char *path)
{
	struct buf data = {0}, text = {0};
	struct error err;
	size_t messages = 0, len;
	char *line;

	if (access(path, F_OK) != 0)
		return;
	REQUIRE(file_read_whole(path, FILE_MAX, &data, NULL, &err) == 0);
	while (take_line(&data, &line, &len)) {
		size_t quotes = 0;

		while (quotes < len && line[quotes] == '>')
			quotes++;
		if (is_from_line(line, len)) {
			if (messages++ != 0)
				check_mbox_message(&text);
			buf_clear(&text);
		} else if (quotes != 0 && is_from_line(line + quotes, len - quotes)) {
			buf_append(&text, line + 1, len);
		} else {
			REQUIRE(messages != 0);
			buf_append(&text, line, len + 1);
		}
		buf_consume(&data, len + 1);
	}
	REQUIRE(data.len == 0 && messages <= whole_count);
	if (messages != 0)
		check_mbox_message(&text);
	buf_release(&data);
	buf_release(&text);
}

/* Whether the state still has the message under any id. */
static bool
is_known(struct uidl *uidl, const struct digest *wanted)
{
	const struct uidl_entry *entry;
	size_t at = 0;

	while ((entry = uidl_each(uidl, &at)) != NULL) {
		if (memcmp(entry->digest.bytes, wanted->bytes, DIGEST_SIZE) == 0)
			return true;
	}
	return false;
}

/*
 * One line: nothing is delivered that did not come whole, and deleted only what was said to be
 * gone.
 */
static void
check_record(const struct record *record, struct uidl *uidl, bool may_forget)
{
	REQUIRE(record->kind != RECORD_GONE || may_forget);
	if (record->kind != RECORD_GOT)
		return;
	REQUIRE(is_whole(&record->digest));
	/* It may have got another id, and vanished, but not within a few minutes for good. */
	REQUIRE(may_forget || is_known(uidl, &record->digest));
}

static void
check_state(const char *folder, const char *path, bool may_forget)
{
	struct buf data = {0};
	struct error err;
	struct uidl *uidl;
	char *line;
	size_t len;

	if (file_read_whole(path, FILE_MAX, &data, NULL, &err) != 0)
		return;
	uidl = uidl_open(folder, "home", UIDL_READ_ONLY, NULL, &err);
	REQUIRE(uidl != NULL && uidl_doubt(uidl)->first_line == 0);
	if (take_line(&data, &line, &len))
		buf_consume(&data, len + 1);
	while (take_line(&data, &line, &len)) {
		struct record record;

		REQUIRE(record_parse(line, len, &record) == 0);
		check_record(&record, uidl, may_forget);
		buf_consume(&data, len + 1);
	}
	REQUIRE(data.len == 0);
	uidl_close(uidl);
	buf_release(&data);
}

void
remains_check(const char *root, const struct account *account, bool may_forget)
{
	static const char *const rooms[] = {"mail", "state", NULL};
	static const char *const files[] = {"home.uidl", "home.lock", "home.ticket", NULL};
	char *state = xasprintf("%s/state", root), *log = xasprintf("%s/home.uidl", state);

	check_folder(root, rooms);
	check_folder(state, files);
	check_state(state, log, may_forget);
	if (account->dest.kind == ACCOUNT_DEST_MAILDIR)
		check_maildir(account->dest.path);
	else
		check_mbox(account->dest.path);
	free(state);
	free(log);
}
