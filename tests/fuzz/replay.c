/*
 * replay - runs a fuzz target over files and folders of files, for builds without libFuzzer: replay FILE|FOLDER ...
 */
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define REPLAY_MAX (16u * 1024 * 1024) /* bytes of one input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, size_t *count)
{
	uint8_t *data;
	struct err e;
	size_t n;

	if (file_read(path, REPLAY_MAX, &data, &n, &e) != 0) {
		fprintf(stderr, "%s\n", e.msg);
		return -1;
	}
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	++*count;
	return 0;
}

static int replay_folder(const char *path, size_t *count)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char file[PATH_MAX];
	int rc = 0;

	if (dir == NULL) {
		perror(path);
		return -1;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		rc = str_fmt(file, sizeof file, "%s/%s", path, entry->d_name);
		if (rc == 0)
			rc = replay_file(file, count);
	}
	closedir(dir);
	return rc;
}

int main(int argc, char **argv)
{
	size_t count = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;
		int rc;

		if (stat(argv[i], &st) != 0) {
			perror(argv[i]);
			return 1;
		}
		rc = S_ISDIR(st.st_mode) ? replay_folder(argv[i], &count) : replay_file(argv[i], &count);
		if (rc != 0)
			return 1;
	}
	printf("%zu inputs\n", count);
	return count > 0 ? 0 : 1;
}
