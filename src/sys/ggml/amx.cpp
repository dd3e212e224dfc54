// ggml's products on AMX, with our way to load the layout of tiles where the compiler's may be wrong.

#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)

#include "tiles.h"

#include <immintrin.h>

#define _tile_loadconfig lk_tile_loadconfig

#endif

#include "amx/mmq.cpp"
