/* SPDX-License-Identifier: GPL-2.0-only */
/* The machine's memory, its nodes, cgroups and pressure. Included by standin.h, in its order. */
#ifndef PYDAMON_STANDIN_MM_H
#define PYDAMON_STANDIN_MM_H

/* -- memory of the machine */

struct resource {
	resource_size_t start, end;
};
#define resource_size(r) ((r)->end - (r)->start + 1)
static inline int walk_system_ram_res(u64 start, u64 end, void *arg, int (*fn)(struct resource *, void *))
{
	struct resource res;
	int ret = 0;

	(void)start, (void)end;
	for (unsigned int i = 0; !ret && shim_ram(i, &res.start, &res.end); i++)
		ret = fn(&res, arg);
	return ret;
}
#define walk_iomem_res_desc(desc, flags, start, end, arg, fn) walk_system_ram_res(start, end, arg, fn)

struct sysinfo {
	unsigned long totalram, freeram, totalhigh, freehigh;
	unsigned int mem_unit;
};
#define MAX_NUMNODES 1024
#define N_MEMORY 0
#define NUMA_NO_NODE (-1)
#define node_state(nid, state) (shim_query(SHIM_NODE_TOTAL, (u64)(nid), 0) != ~0ull)
#define node_online(nid) node_state(nid, N_MEMORY)
#define node_start_pfn(nid) ((unsigned long)shim_query(SHIM_NODE_START, (u64)(nid), 0))
#define node_end_pfn(nid) ((unsigned long)shim_query(SHIM_NODE_END, (u64)(nid), 0))
static inline void si_meminfo_node(struct sysinfo *i, int nid)
{
	i->totalram = shim_query(SHIM_NODE_TOTAL, (u64)nid, 0);
	i->freeram = shim_query(SHIM_NODE_FREE, (u64)nid, 0);
}
enum zone_stat_item { NR_FREE_PAGES };
enum lru_list { LRU_INACTIVE_ANON, LRU_ACTIVE_ANON, LRU_INACTIVE_FILE, LRU_ACTIVE_FILE, LRU_UNEVICTABLE, NR_LRU_LISTS };
enum node_stat_item { NR_LRU_BASE, NR_INACTIVE_ANON = NR_LRU_BASE, NR_ACTIVE_ANON, NR_INACTIVE_FILE, NR_ACTIVE_FILE };
#define global_zone_page_state(item) ((unsigned long)shim_query(SHIM_FREE_PAGES, 0, 0))
#define totalram_pages() ((unsigned long)shim_query(SHIM_TOTAL_PAGES, 0, 0))
#define global_node_page_state(item) ((unsigned long)shim_query(SHIM_LRU, (u64)(item), 0))

struct mem_cgroup {
	u64 id;
};
struct lruvec {
	u64 memcg, nid;
};
#define mem_cgroup_get_from_id(id) shim_memcg(id)
#define mem_cgroup_get_from_ino(id) shim_memcg(id)
#define mem_cgroup_put(m) ((void)(m))
#define mem_cgroup_flush_stats(m) ((void)(m))
#define mem_cgroup_id(m) ((m)->id)
#define NODE_DATA(nid) (nid)
#define mem_cgroup_lruvec(m, nid) (&(struct lruvec){(m)->id, (u64)(nid)})
/* All lists of the cgroup on the node are one number here; it is counted with the first of them. */
#define lruvec_page_state(l, item) \
	((unsigned long)((item) == NR_ACTIVE_ANON ? shim_query(SHIM_MEMCG_PAGES, (l)->memcg, (l)->nid) : 0))

#define PSI_AVGS 0
#define PSI_MEM 1
#define PSI_MEM_SOME 2
struct psi_group {
	u64 total[1][8];
};
#define psi_disabled 0
#define static_branch_likely(x) (*(x))
#define static_branch_unlikely(x) (*(x))
#undef psi_disabled
extern int psi_disabled;
#define psi_system (*(struct psi_group *)shim_psi())

struct folio {
	unsigned long pfn, nr_pages;
	int nid;
};
#define folio_pfn(f) ((f)->pfn)
#define folio_size(f) ((f)->nr_pages << PAGE_SHIFT)
#define folio_nr_pages(f) ((f)->nr_pages)
#define folio_nid(f) ((f)->nid)
#define folio_put(f) ((void)(f))

void sort(void *base, size_t num, size_t size, int (*cmp)(const void *, const void *),
	  void (*swp)(void *, void *, int));

#endif
