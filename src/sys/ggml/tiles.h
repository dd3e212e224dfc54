// Loads the layout of AMX's tiles. GCC's own `_tile_loadconfig` says that it reads a pointer's worth of the 64 bytes
// (GCC bug 114098, mended in 12.4, 13.3 and 14): the compiler then drops what was written to the others, and the first
// product faults.

#pragma once

// Tests put in its place what any CPU can execute.
#ifndef LK_LOAD_TILES
#    define LK_LOAD_TILES "ldtilecfg %0"
#endif

static inline void lk_tile_loadconfig(const void * layout) {
    __asm__ volatile(LK_LOAD_TILES : : "m"(*(const char(*)[64]) layout));
}
