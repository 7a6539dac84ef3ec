/*
 * Repeats cases: each argument is a file, or a folder whose files are taken, but
 * not those of its folders. Prints how many; a case that fails ends the process
 * with abort(), and its name is the last line on standard error.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/xalloc.h"
#include "fuzz.h"

/* Far more than any case has. */
#define CASE_MAX ((size_t)16 * 1024 * 1024)

static size_t case_count;

static int
replay_file(const char *path)
{
	struct buf text = {0};
	struct error err;
	uint8_t *exact;

	if (file_read_whole(path, CASE_MAX, &text, NULL, &err) != 0) {
		fprintf(stderr, "replay: %s\n", err.text);
		return -1;
	}
	fprintf(stderr, "%s\n", path);
	/* Exactly as long as the case, so that sanitizers see what is read beyond it. */
	exact = malloc(text.len + (text.len == 0));
	REQUIRE(exact != NULL);
	memcpy(exact, buf_data(&text), text.len);
	LLVMFuzzerTestOneInput(exact, text.len);
	free(exact);
	buf_release(&text);
	case_count++;
	return 0;
}

static int
replay_folder(const char *path)
{
	struct dirent **entries = NULL;
	int result = 0, count = scandir(path, &entries, NULL, alphasort);

	if (count < 0) {
		perror(path);
		return -1;
	}
	for (int i = 0; i < count; i++) {
		char *name = xasprintf("%s/%s", path, entries[i]->d_name);
		struct stat st;

		if (stat(name, &st) == 0 && S_ISREG(st.st_mode) && replay_file(name) != 0)
			result = -1;
		free(name);
		free(entries[i]);
	}
	free(entries);
	return result;
}

int
main(int argc, char **argv)
{
	int result = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;
		int one = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode) ? replay_folder(argv[i])
									 : replay_file(argv[i]);

		if (one != 0)
			result = 1;
	}
	printf("%zu cases\n", case_count);
	return case_count == 0 ? 1 : result;
}
