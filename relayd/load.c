#include "relayd/load.h"

#include "common/base/clock.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 100000000u

uint64_t load_cpu_ns(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void load_init(struct load *l)
{
	*l = (struct load){ .started_ms = clock_mono_ms(), .looked_ns = clock_mono_ns(), .cpu_ns = load_cpu_ns() };
}

uint32_t load_cpu_permille(struct load *l)
{
	uint64_t now = clock_mono_ns(), cpu = load_cpu_ns();

	if (now - l->looked_ns >= LOOK_NS) {
		l->cpu_permille = (uint32_t)((cpu - l->cpu_ns) * 1000 / (now - l->looked_ns));
		l->looked_ns = now;
		l->cpu_ns = cpu;
	}
	return l->cpu_permille;
}

uint64_t load_uptime_s(const struct load *l)
{
	return (clock_mono_ms() - l->started_ms) / 1000;
}

uint64_t load_rss_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long size, resident = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}
