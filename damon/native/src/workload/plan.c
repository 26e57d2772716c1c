// SPDX-License-Identifier: GPL-2.0-only
/* Reading a compiled plan: one statement a line, fields separated by blanks, names last. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#define GROW(array, nr) ((array) = grow((array), (nr), sizeof(*(array))))

static void *grow(void *array, int nr, size_t size)
{
	char *new = realloc(array, (size_t)(nr + 1) * size);

	if (!new) {
		fprintf(stderr, "damon-workload: out of memory while reading the plan\n");
		exit(1);
	}
	memset(new + (size_t)nr * size, 0, size);
	return new;
}

static int read_area(struct plan *plan, const char *line)
{
	struct area *a = (GROW(plan->areas, plan->nr_areas), &plan->areas[plan->nr_areas]);

	if (sscanf(line, "area %d %d %lu %d %d %64s", &a->process, &a->is_file, &a->size, &a->populate, &a->mapped,
		   a->name) != 6 ||
	    a->process < 0 || a->process >= plan->nr_processes || !a->size || a->size % PAGE)
		return -1;
	plan->nr_areas++;
	return 0;
}

static int read_access(struct plan *plan, const char *line)
{
	struct phase *phase = plan->nr_phases ? &plan->phases[plan->nr_phases - 1] : NULL;
	struct access *a;
	int pattern;

	if (!phase)
		return -1;
	a = (GROW(phase->accesses, phase->nr_accesses), &phase->accesses[phase->nr_accesses]);
	if (sscanf(line, "access %d %d %lf %lf %lu %lf", &a->area, &pattern, &a->rate, &a->write_share, &a->stride,
		   &a->skew) != 6 ||
	    a->area < 0 || a->area >= plan->nr_areas || pattern < SEQUENTIAL || pattern > ZIPF ||
	    !(a->rate > 0 && a->rate <= 1e10) || !(a->write_share >= 0 && a->write_share <= 1) || !a->stride ||
	    a->stride > plan->areas[a->area].size || !(a->skew > 0 && a->skew <= 8))
		return -1;
	a->pattern = (enum pattern)pattern;
	phase->nr_accesses++;
	return 0;
}

static int read_event(struct plan *plan, const char *line)
{
	struct phase *phase = plan->nr_phases ? &plan->phases[plan->nr_phases - 1] : NULL;
	struct event *e;
	int kind;

	if (!phase)
		return -1;
	e = (GROW(phase->events, phase->nr_events), &phase->events[phase->nr_events]);
	if (sscanf(line, "event %d %d", &kind, &e->index) != 2 || kind < EV_MMAP || kind > EV_EXIT || e->index < 0 ||
	    e->index >= (kind == EV_EXIT ? plan->nr_processes : plan->nr_areas))
		return -1;
	e->kind = (enum event_kind)kind;
	phase->nr_events++;
	return 0;
}

static int read_phase(struct plan *plan, const char *line)
{
	struct phase *p = (GROW(plan->phases, plan->nr_phases), &plan->phases[plan->nr_phases]);

	if (sscanf(line, "phase %lu %64[^\n]", &p->duration_us, p->name) != 2 || !p->duration_us)
		return -1;
	plan->nr_phases++;
	return 0;
}

static int read_line(struct plan *plan, const char *line)
{
	char word[16];

	if (sscanf(line, "%15s", word) != 1)
		return 0;
	if (!strcmp(word, "options")) {
		int nr = sscanf(line, "options %lu %lu %lu %lu %lu %d %d %d %255[^\n]", &plan->seed, &plan->interval_us,
				&plan->duration_us, &plan->report_us, &plan->round_us, &plan->tlb_flush,
				&plan->huge_pages, &plan->repeat, plan->dir);

		return nr == 9 && plan->interval_us && plan->round_us - 1 < MAX_ROUND_US ? 0 : -1;
	}
	if (!strcmp(word, "process")) {
		struct process *p = (GROW(plan->processes, plan->nr_processes), &plan->processes[plan->nr_processes++]);
		int nr = sscanf(line, "process %64s %15s", p->name, word);

		p->late = nr == 2 && !strcmp(word, "late");
		return nr == 1 || p->late ? 0 : -1;
	}
	if (!strcmp(word, "area"))
		return read_area(plan, line);
	if (!strcmp(word, "phase"))
		return read_phase(plan, line);
	if (!strcmp(word, "access"))
		return read_access(plan, line);
	if (!strcmp(word, "event"))
		return read_event(plan, line);
	return -1;
}

/* A line of a plan as part of a message: as far as it can be printed. */
static void refuse(int number, char *line)
{
	for (char *c = line; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = *c == '\n' ? '\0' : '?';
	fprintf(stderr, "damon-workload: plan line %d is not understood: '%.60s'; make the plan with --print-plan\n",
		number, line);
}

int plan_read(FILE *file, struct plan *plan)
{
	char line[512];
	int number = 0;

	memset(plan, 0, sizeof(*plan));
	while (fgets(line, sizeof(line), file)) {
		number++;
		if (read_line(plan, line)) {
			refuse(number, line);
			return -1;
		}
	}
	if (!plan->interval_us || !plan->nr_processes || !plan->nr_areas || !plan->nr_phases) {
		fprintf(stderr,
			"damon-workload: the plan is incomplete: options, process, area and phase are needed\n");
		return -1;
	}
	return 0;
}
