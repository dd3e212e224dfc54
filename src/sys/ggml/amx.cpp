// ggml's products on AMX, with our way to load the layout of tiles where the compiler's may be wrong. llama.cpp's pull
// request 26954 is about the same; this file is not needed any more when the pinned sources have it.

#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)

#include "tiles.h"

#include <immintrin.h>

#define _tile_loadconfig lk_tile_loadconfig

#endif

#include "amx/mmq.cpp"
