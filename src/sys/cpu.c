/*
 * Which instruction sets this CPU and its operating system offer.
 *
 * Compiled for the target's baseline, so that it runs on any CPU. Features have
 * rustc's names; build/isa.rs holds the list of those that code may be compiled for.
 */

#include <stddef.h>
#include <string.h>

/* 1: there. 0: not there. -1: this operating system gives no way to ask. */
int lk_cpu_has(const char * name);

#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#include <immintrin.h>

static void cpuid(unsigned leaf, unsigned sub, unsigned r[4]) {
    __cpuidex((int *) r, (int) leaf, (int) sub);
}

static unsigned xcr0(void) {
    return (unsigned) _xgetbv(0);
}
#else
#include <cpuid.h>

static void cpuid(unsigned leaf, unsigned sub, unsigned r[4]) {
    __cpuid_count(leaf, sub, r[0], r[1], r[2], r[3]);
}

static unsigned xcr0(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif

enum { EAX, EBX, ECX, EDX };

/* Register state that the operating system must save for a feature (bits of XCR0). */
enum { NONE = 0, YMM = 0x06, ZMM = 0xe6, TILES = 0x60000 };

static const struct {
    const char * name;
    unsigned leaf, sub;
    unsigned char reg, bit;
    unsigned state;
} table[] = {
    { "sse3",            1, 0, ECX,  0, NONE },
    { "ssse3",           1, 0, ECX,  9, NONE },
    { "sse4.1",          1, 0, ECX, 19, NONE },
    { "sse4.2",          1, 0, ECX, 20, NONE },
    { "popcnt",          1, 0, ECX, 23, NONE },
    { "movbe",           1, 0, ECX, 22, NONE },
    { "lzcnt",  0x80000001, 0, ECX,  5, NONE },
    { "bmi1",            7, 0, EBX,  3, NONE },
    { "bmi2",            7, 0, EBX,  8, NONE },
    { "gfni",            7, 0, ECX,  8, NONE },
    { "avx",             1, 0, ECX, 28, YMM },
    { "fma",             1, 0, ECX, 12, YMM },
    { "f16c",            1, 0, ECX, 29, YMM },
    { "avx2",            7, 0, EBX,  5, YMM },
    { "vaes",            7, 0, ECX,  9, YMM },
    { "vpclmulqdq",      7, 0, ECX, 10, YMM },
    { "avxvnni",         7, 1, EAX,  4, YMM },
    { "avx512f",         7, 0, EBX, 16, ZMM },
    { "avx512cd",        7, 0, EBX, 28, ZMM },
    { "avx512vl",        7, 0, EBX, 31, ZMM },
    { "avx512dq",        7, 0, EBX, 17, ZMM },
    { "avx512bw",        7, 0, EBX, 30, ZMM },
    { "avx512ifma",      7, 0, EBX, 21, ZMM },
    { "avx512vbmi",      7, 0, ECX,  1, ZMM },
    { "avx512vbmi2",     7, 0, ECX,  6, ZMM },
    { "avx512vnni",      7, 0, ECX, 11, ZMM },
    { "avx512bitalg",    7, 0, ECX, 12, ZMM },
    { "avx512vpopcntdq", 7, 0, ECX, 14, ZMM },
    { "avx512bf16",      7, 1, EAX,  5, ZMM },
    { "avx512fp16",      7, 0, EDX, 23, ZMM },
    { "amx-tile",        7, 0, EDX, 24, TILES },
    { "amx-int8",        7, 0, EDX, 25, TILES },
    { "amx-bf16",        7, 0, EDX, 22, TILES },
};

static int ask(unsigned leaf, unsigned sub, unsigned reg, unsigned bit) {
    unsigned r[4];
    cpuid(leaf & 0x80000000u, 0, r);
    if (r[EAX] < leaf) {
        return 0;
    }
    if (sub > 0) {
        cpuid(leaf, 0, r);
        if (r[EAX] < sub) {
            return 0;
        }
    }
    cpuid(leaf, sub, r);
    return (int) (r[reg] >> bit & 1u);
}

int lk_cpu_has(const char * name) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].name, name) != 0) {
            continue;
        }
        if (!ask(table[i].leaf, table[i].sub, table[i].reg, table[i].bit)) {
            return 0;
        }
        if (table[i].state == NONE) {
            return 1;
        }
        /* Bit 27: the operating system uses XSAVE, so XCR0 may be read. */
        return ask(1, 0, ECX, 27) && (xcr0() & table[i].state) == table[i].state;
    }
    return 0;
}

#elif defined(__aarch64__) && defined(__linux__)

#include <sys/auxv.h>

/* Bits of the kernel's ABI, which older C libraries do not name. */
static const struct {
    const char * name;
    unsigned char word, bit;
} table[] = {
    { "crc",     1,  7 },
    { "lse",     1,  8 },
    { "fp16",    1, 10 },
    { "rdm",     1, 12 },
    { "dotprod", 1, 20 },
    { "sve",     1, 22 },
    { "sve2",    2,  1 },
    { "i8mm",    2, 13 },
    { "bf16",    2, 14 },
    { "sme",     2, 23 },
};

int lk_cpu_has(const char * name) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].name, name) == 0) {
            unsigned long long caps = getauxval(table[i].word == 1 ? AT_HWCAP : AT_HWCAP2);
            return (int) (caps >> table[i].bit & 1u);
        }
    }
    return 0;
}

#elif defined(__aarch64__) && defined(__APPLE__)

#include <sys/sysctl.h>

static const char * const table[][2] = {
    { "crc",     "hw.optional.armv8_crc32" },
    { "lse",     "hw.optional.arm.FEAT_LSE" },
    { "fp16",    "hw.optional.arm.FEAT_FP16" },
    { "rdm",     "hw.optional.arm.FEAT_RDM" },
    { "dotprod", "hw.optional.arm.FEAT_DotProd" },
    { "bf16",    "hw.optional.arm.FEAT_BF16" },
    { "i8mm",    "hw.optional.arm.FEAT_I8MM" },
    { "sme",     "hw.optional.arm.FEAT_SME" },
};

int lk_cpu_has(const char * name) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i][0], name) == 0) {
            int value = 0;
            size_t size = sizeof value;
            /* Systems from before the newer names cannot be asked. */
            return sysctlbyname(table[i][1], &value, &size, NULL, 0) == 0 ? value != 0 : -1;
        }
    }
    return 0;
}

#elif (defined(_M_ARM64) || defined(__aarch64__)) && defined(_WIN32)

#include <windows.h>

/* Values of winnt.h, which older SDKs do not name. */
static const struct {
    const char * name;
    unsigned long feature;
} table[] = {
    { "crc",     31 },
    { "lse",     34 },
    { "dotprod", 43 },
    { "sve",     46 },
    { "sve2",    47 },
};

int lk_cpu_has(const char * name) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return IsProcessorFeaturePresent(table[i].feature) != 0;
        }
    }
    return -1;
}

#else

int lk_cpu_has(const char * name) {
    (void) name;
    return -1;
}

#endif
