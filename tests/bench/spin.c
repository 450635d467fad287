// SPDX-License-Identifier: GPL-2.0
/*
 * As many operations as the kernel can make: TASKS processes that each
 * allocate blocks of the given sizes through debugfs and release them, ROUNDS
 * times over, and sleep PAUSE ns after each. Prints operations, and
 * nanoseconds from the first task's start to the last one's end.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int spin(const char *dir, long rounds, long pause, char **sizes, int n)
{
	struct timespec rest = {pause / 1000000000, pause % 1000000000};
	char path[256];
	int alloc, release;

	snprintf(path, sizeof(path), "%s/alloc", dir);
	alloc = open(path, O_WRONLY);
	snprintf(path, sizeof(path), "%s/free", dir);
	release = open(path, O_WRONLY);
	if (alloc < 0 || release < 0)
		return 1;
	while (rounds--) {
		for (int i = 0; i < n; i++)
			if (write(alloc, sizes[i], strlen(sizes[i])) < 0)
				return 1;
		for (int i = n; i--;)
			if (write(release, sizes[i], strlen(sizes[i])) < 0)
				return 1;
		if (pause)
			nanosleep(&rest, NULL);
	}
	return 0;
}

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	int failed = 0, status;
	long long began;
	long tasks, rounds, pause;

	if (argc < 6) {
		fprintf(stderr, "usage: spin DIRECTORY TASKS ROUNDS PAUSE SIZE...\n");
		return 2;
	}
	tasks = atol(argv[2]);
	rounds = atol(argv[3]);
	pause = atol(argv[4]);
	began = now_ns();
	for (long i = 0; i < tasks; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (!pid)
			_exit(spin(argv[1], rounds, pause, argv + 5, argc - 5));
	}
	while (wait(&status) > 0)
		failed |= status;
	printf("%ld %lld\n", 2 * tasks * rounds * (argc - 5), now_ns() - began);
	return failed ? 1 : 0;
}
