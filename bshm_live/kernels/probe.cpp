// Which level of the x86-64 psABI this processor has (1 to 3), its system included.
//
// A library of its own, for any processor: the kernels' own would not even load everywhere.

#ifdef _WIN32
#define EXPORT extern "C" __declspec(dllexport)
extern "C" int DllMainCRTStartup(void *, unsigned, void *) { return 1; }
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

struct Registers {
    unsigned a, b, c, d;
};

static Registers cpuid(unsigned leaf, unsigned part = 0) {
    Registers r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(part));
    return r;
}

static bool has(unsigned word, unsigned bits) { return (word & bits) == bits; }

const unsigned XMM_YMM = 6, ZMM = 0xe0;

// What the system keeps of the registers; only where OSXSAVE is set.
static unsigned kept() {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

EXPORT int x86_level(void) {
    const unsigned most = cpuid(0).a;
    const unsigned extended = cpuid(0x80000000u).a;
    const Registers one = cpuid(1);
    const unsigned lahf = extended > 0x80000000u ? cpuid(0x80000001u).c : 0;
    // SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; LAHF
    const unsigned second = 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23;
    if (!has(one.c, second) || !has(lahf, 1u)) return 1;
    // FMA, MOVBE, OSXSAVE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT
    const unsigned third = 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29;
    if (!has(one.c, third) || most < 7) return 2;
    if (!has(cpuid(7).b, 1u << 3 | 1u << 5 | 1u << 8) || !has(lahf, 1u << 5)) return 2;
    return has(kept(), XMM_YMM) ? 3 : 2;
}

// Whether it adds up products of 8 bits in 32: AVX-VNNI, or AVX-512's. Without, sums of two
// products are cut off at 16 bits.
EXPORT int x86_vnni(void) {
    if (x86_level() < 3) return 0;
    const Registers seven = cpuid(7);
    if (seven.a >= 1 && has(cpuid(7, 1).a, 1u << 4)) return 1;
    return has(seven.b, 1u << 16) && has(seven.c, 1u << 11) && has(kept(), XMM_YMM | ZMM);
}
