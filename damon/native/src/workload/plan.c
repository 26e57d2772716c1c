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

	if (sscanf(line, "area %d %d %lu %d %d %d %64s", &a->process, &a->is_file, &a->size, &a->populate, &a->mapped,
		   &a->locked, a->name) != 7 ||
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

static int read_file(struct plan *plan, const char *line)
{
	struct file *f = (GROW(plan->files, plan->nr_files), &plan->files[plan->nr_files]);

	if (sscanf(line, "trace %4095[^\n]", f->path) != 1)
		return -1;
	plan->nr_files++;
	return 0;
}

/* Where in the file the windows are is checked when it is open. */
static int read_replay(struct plan *plan, const char *line)
{
	struct replay *r = (GROW(plan->replays, plan->nr_replays), &plan->replays[plan->nr_replays]);

	if (sscanf(line, "replay %d %d %lu %lu %lu %ld %ld %d %lf %lf %lu %lu", &r->area, &r->file, &r->first,
		   &r->nr_pages, &r->space_pages, &r->begin, &r->length, &r->loop, &r->time_scale, &r->size_scale,
		   &r->table, &r->nr_windows) != 12 ||
	    r->area < 0 || r->area >= plan->nr_areas || r->file < 0 || r->file >= plan->nr_files || !r->nr_pages ||
	    r->space_pages > UINT32_MAX || r->first >= r->space_pages || r->nr_pages > r->space_pages - r->first ||
	    r->begin < 0 || r->begin > MAX_TIME_NS || r->length <= 0 || r->length > MAX_TIME_NS ||
	    !(r->time_scale >= 1e-9 && r->time_scale <= 1e9) || !(r->size_scale >= 1e-9 && r->size_scale <= 1e9))
		return -1;
	plan->nr_replays++;
	return 0;
}

static int read_turn(struct plan *plan, const char *line)
{
	struct replay *r = plan->nr_replays ? &plan->replays[plan->nr_replays - 1] : NULL;
	struct turn *t;

	if (!r)
		return -1;
	t = (GROW(r->turns, r->nr_turns), &r->turns[r->nr_turns]);
	if (sscanf(line, "turn %ld %d", &t->at, &t->mapped) != 2 || t->at < 0 || t->at > r->length ||
	    (r->nr_turns && t->at <= t[-1].at))
		return -1;
	r->nr_turns++;
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
	if (!strcmp(word, "announce")) {
		plan->announce = 1;
		return 0;
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
	if (!strcmp(word, "trace"))
		return read_file(plan, line);
	if (!strcmp(word, "replay"))
		return read_replay(plan, line);
	if (!strcmp(word, "turn"))
		return read_turn(plan, line);
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
	char line[4200];
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
	return open_files(plan);
}
