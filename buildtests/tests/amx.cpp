// What a compiler that optimises has written by the time that the layout of tiles is loaded.

#include <stdint.h>
#include <string.h>

// Copies the layout to `seen` where the CPU would load it.
#define LK_LOAD_TILES                         \
    "vmovdqu %0, %%ymm14\n\t"                 \
    "vmovdqu %%ymm14, seen(%%rip)\n\t"        \
    "vmovdqu 32+%0, %%ymm14\n\t"              \
    "vmovdqu %%ymm14, 32+seen(%%rip)"
#include "tiles.h"

extern "C" {
unsigned char seen[64];
}

struct Layout {
    uint8_t palette = 1;
    uint8_t rest[15] = {};
    uint16_t columns[16] = {};
    uint8_t rows[16] = {};
};

__attribute__((noinline)) void load() {
    alignas(64) Layout layout;
    for (int tile = 0; tile < 8; tile++) {
        layout.rows[tile] = 8 + tile;
        layout.columns[tile] = 64;
    }
    lk_tile_loadconfig(&layout);
}

int main() {
    load();
    uint16_t columns[8];
    memcpy(columns, seen + 16, sizeof(columns));
    bool right = seen[0] == 1;
    for (int tile = 0; tile < 8; tile++) {
        right &= columns[tile] == 64 && seen[48 + tile] == 8 + tile;
    }
    return right ? 0 : 1;
}
