# SPDX-License-Identifier: GPL-2.0-only
"""What is read of a ``damon.h``: records, functions, constants, whatever a patch adds."""

from __future__ import annotations

import ctypes

import pytest

from damon.errors import InvalidInput
from damon.kernel.header import functions_of, generated, parse
from damon.kernel.library import Library
from tests.kernel.trees import built

HEADER = """
/* struct ghost { int a; }; */
enum damos_action {
\tDAMOS_WILLNEED,
\tDAMOS_STAT = 7,\t/* Do nothing, but count */
\tNR_DAMOS_ACTIONS,
};
struct damon_region {
\tstruct damon_addr_range ar;
\tunsigned int a, b;
\tunsigned char hits[DAMON_MAX];
\tunion {
\t\tu64 memcg_id;
\t\tstruct { int nid; u64 other; };
\t};
\tstruct { int deep; } named;
\tint (*fn)(void *data, int x);
\tunsigned flag:1;
};
struct damon_operations {
\tenum damon_ops_id id;
\tunsigned long (*apply_scheme)(struct damon_ctx *context,
\t\t\tstruct damon_target *t, unsigned long *passed);
\tvoid (*nothing)(void);
};
static inline unsigned long damon_rand(struct damon_ctx *ctx, unsigned long l)
{
\treturn l;
}
int damon_start(struct damon_ctx **ctxs, int nr_ctxs, bool exclusive);
bool damon_initialized(void);
"""


def test_records_functions_and_constants() -> None:
    header = parse(HEADER)
    assert header.records["damon_region"] == [
        "ar", "a", "b", "hits", "memcg_id", "nid", "other", "named", "fn",
    ]  # fmt: skip
    assert "ghost" not in header.records
    assert header.operations == {"apply_scheme": 3, "nothing": 0}
    assert header.functions["damon_start"] == 3
    assert header.functions["damon_initialized"] == 0
    assert header.constants == ["DAMOS_WILLNEED", "DAMOS_STAT", "NR_DAMOS_ACTIONS"]
    assert header.rand_takes_ctx
    assert "#define HAVE_damon_region_hits 1" in generated(header)["features.h"]


def test_functions_are_cut_out_with_their_lines() -> None:
    source = (
        "#define MOST (3)\n/* int hot(int a) { */\nstatic int hot(int a)\n{\n\tif (a) {\n\t}\n\treturn a;\n}\nint x;\n"
    )
    text = functions_of(source, ["hot"], "a.c")
    assert text.splitlines()[:3] == ["#define MOST (3)", '#line 3 "a.c"', "static int hot(int a)"]
    assert text.rstrip().endswith("return a;\n}")
    with pytest.raises(InvalidInput, match=r"^a\.c: cold\(\): "):
        functions_of(source, ["cold"], "a.c")


def test_tables_are_the_compilers() -> None:
    """Offsets come from the C: two fields of the kernel's region lie where the library has them."""
    lib = Library(built())
    region = ctypes.create_string_buffer(lib.size("damon_region"))
    at = ctypes.addressof(region)
    lib.set(at, "damon_region", "age", 0xFFFFFFFF)
    assert lib.get(at, "damon_region", "age") == 0xFFFFFFFF
    assert lib.get(at, "damon_region", "nr_accesses") == 0
    assert sum(region.raw) == 4 * 255
    with pytest.raises(InvalidInput, match="struct damon_region: nr_wings: linux-source"):
        lib.get(at, "damon_region", "nr_wings")
    lib.set(at, "damon_region", "nr_wings", 0)  # what would be 0 need not be there
    with pytest.raises(InvalidInput, match="nr_wings=2"):
        lib.set(at, "damon_region", "nr_wings", 2)
