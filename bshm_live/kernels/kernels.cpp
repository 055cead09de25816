// A frame's passes over memory on the processor, rows at a time.
//
// C++ without its library and without libc: nothing is allocated here, and the callers
// (bshm_live/kernels/*.py) have checked every size. Each kernel is called by several threads
// at once with the same arguments; they take bands of rows from `next` until none is left,
// and each has scratch memory of its own, by the number of its `lane`.
//
// Pictures are BGR; (w, h) is the low size and (wide, tall) = (4w, 4h), or up to three
// less, the matte's. Results do not depend on the number of threads.

#include "pixel.h"

typedef short i16;
typedef unsigned short u16;
typedef unsigned long long u64;
typedef long long Bytes;
typedef float f4 __attribute__((vector_size(16)));
typedef float f8 __attribute__((vector_size(32)));
typedef int i4 __attribute__((vector_size(16)));
typedef i16 s16 __attribute__((vector_size(32)));
typedef int w16 __attribute__((vector_size(64)));
typedef u8 b16 __attribute__((vector_size(16)));
typedef u64 q4 __attribute__((vector_size(32)));
typedef u64 q2 __attribute__((vector_size(16)));
typedef u16 h16 __attribute__((vector_size(32)));
typedef unsigned v16 __attribute__((vector_size(64)));

#ifdef _WIN32
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

#ifdef _WIN32
// Elsewhere the process has these.
extern "C" {
int _fltused = 0;
int DllMainCRTStartup(void *, unsigned, void *) { return 1; }
void *memcpy(void *to, const void *from, u64 count) {
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(count) : : "memory");
    return to;
}
void *memset(void *to, int value, u64 count) {
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(value) : "memory");
    return to;
}
}
#endif

// What the library was made from: the builder's checksum of these sources.
#ifdef EDITION
EXPORT unsigned edition(void) { return EDITION; }
#endif

// Defines `name`, which does the rows that nobody has taken yet, `band` at a time.
#define KERNEL(name, Arguments, band)                                                   \
    static void name##_rows(const Arguments &a, int first, int last, int lane);         \
    EXPORT void name(const Arguments *a, int rows, int *next, int lane) {               \
        for (;;) {                                                                      \
            const int first = __atomic_fetch_add(next, band, __ATOMIC_RELAXED);         \
            if (first >= rows) return;                                                  \
            name##_rows(*a, first, first + band < rows ? first + band : rows, lane);    \
        }                                                                               \
    }                                                                                   \
    EXPORT int name##_size(void) { return (int)sizeof(Arguments); }                     \
    static void name##_rows(const Arguments &a, int first, int last, int lane)

static inline void copy(void *to, const void *from, Bytes count) {
    __builtin_memcpy(to, from, (u64)count);
}
static inline void fill(void *to, int value, Bytes count) {
    __builtin_memset(to, value, (u64)count);
}

// A vector that may lie anywhere in memory
template <class V> static inline V load(const void *p) {
    V v;
    copy(&v, p, sizeof(V));
    return v;
}
template <class V> static inline void store(float *p, V v) { copy(p, &v, sizeof(V)); }

static inline s16 widened(const u8 *p) { return __builtin_convertvector(load<b16>(p), s16); }

// ---- Before the networks: preprocess.Preprocessor ----------------------------------------

const int MOST_HALVED = 16;

// Taps of four columns of BGR pixels: the offsets, and each weight once for four values.
struct Sides {
    int near[4], far[4];
    u64 near_weights[4], far_weights[4];

    // `one` is the weight 1/2048.
    void set(int x, const Tap &t, int first, int one) {
        const u64 each = 0x0001000100010001ull * (u64)one;
        const int i = x % 4;
        near[i] = 3 * (t.near - first), far[i] = 3 * (t.far - first);
        near_weights[i] = t.near_weight * each, far_weights[i] = t.far_weight * each;
    }
};

struct Prepare {
    const u8 *picture;  // (height, width, 3), rows `stride` bytes apart
    u8 *guide;          // (tall, wide, 3)
    float *high;        // (3, tall, wide) RGB in [0, 1], or null
    float *low;         // (3, h, w), tall = 4h and wide = 4w, or null
    Sides *sides;       // (wide / 4,) and one more for what is over, from prepare_sides
    u8 *scratch;
    Bytes stride, lane_bytes;
    int width, height, wide, tall;
    int halved_x, halved_y;  // so often before the bilinear step
};

EXPORT int sides_size(void) { return (int)sizeof(Sides); }
EXPORT void prepare_sides(const Prepare *a) {
    const int n = a->width >> a->halved_x;
    for (int x = 0; x < a->wide; x++)
        a->sides[x / 4].set(x, tap(x, 1 / ((double)a->wide / n), n), 0, 1);
}

// The rows of a picture that was halved a few times, made as they are asked for. Of each
// size two rows are kept.
struct Halver {
    const Prepare &a;
    float *sums[MOST_HALVED + 1];
    u8 *rows[MOST_HALVED + 1][2];
    int kept[MOST_HALVED + 1][2];

    Halver(const Prepare &a, u8 *memory) : a(a) {
        for (int times = 1; times <= halvings(); times++) {
            sums[times] = (float *)memory;
            memory += (Bytes)sizeof(float) * 3 * width(times - 1);
        }
        for (int times = 1; times <= halvings(); times++)
            for (int i = 0; i < 2; i++, memory += 3 * (Bytes)width(times)) {
                rows[times][i] = memory;
                kept[times][i] = -1;
            }
    }

    int halvings() const { return a.halved_x > a.halved_y ? a.halved_x : a.halved_y; }
    int width(int times) const { return a.width >> (times < a.halved_x ? times : a.halved_x); }
    int height(int times) const { return a.height >> (times < a.halved_y ? times : a.halved_y); }

    const u8 *row(int times, int y) {
        if (!times) return a.picture + y * a.stride;
        const int slot = y & 1;
        if (kept[times][slot] != y) {
            make(times, y, rows[times][slot]);
            kept[times][slot] = y;
        }
        return rows[times][slot];
    }

    void make(int times, int y, u8 *out) {
        const bool across = times <= a.halved_x, down = times <= a.halved_y;
        const int n = width(times), larger = width(times - 1), taller = height(times - 1);
        if ((across && larger % 2) || (down && taller % 2)) return uneven(times, y, out);
        if (!down) return every_other(Pair{row(times - 1, y)}, out, n);
        const u8 *above = row(times - 1, 2 * y), *below = row(times - 1, 2 * y + 1);
        if (across) return every_other(Square{above, below}, out, n);
        for (int i = 0; i < 3 * n; i++) out[i] = half(above[i] + below[i]);
    }

    // To the nearest level, halves to even
    static u8 half(int sum) { return (u8)((sum >> 1) + (sum >> 1 & sum & 1)); }

    // Values of rows, each with its right neighbour's: one, or sixteen at once
    struct Pair {
        const u8 *p;
        u8 one(int i) const { return half(p[i] + p[i + 3]); }
        b16 many(int i) const {
            const b16 left = load<b16>(p + i), right = load<b16>(p + i + 3);
            const b16 odd = left ^ right, down = (left & right) + (odd >> 1);
            return down + (down & odd & 1);
        }
    };
    struct Square {
        const u8 *p, *q;
        u8 one(int i) const { return (u8)((p[i] + q[i] + p[i + 3] + q[i + 3] + 2) >> 2); }
        b16 many(int i) const {
            const s16 left = widened(p + i) + widened(q + i);
            const s16 right = widened(p + i + 3) + widened(q + i + 3);
            return __builtin_convertvector((left + right + 2) >> 2, b16);
        }
    };

    // Every other pixel of a row, n in all
    template <class Mean> static void every_other(const Mean &mean, u8 *out, int n) {
        int x = 0;
        for (; x + 6 <= n; x += 4) {  // reads 31 values and writes 16
            const b16 first = mean.many(6 * x), second = mean.many(6 * x + 12);
            const b16 kept = __builtin_shufflevector(
                first, second, 0, 1, 2, 6, 7, 8, 16, 17, 18, 22, 23, 24, 0, 0, 0, 0
            );
            copy(out + 3 * x, &kept, sizeof kept);
        }
        for (; x < n; x++)
            for (int c = 0; c < 3; c++) out[3 * x + c] = mean.one(6 * x + c);
    }

    // An odd length 2n + 1 becomes n: a pixel covers 2 + 1/n of the old ones, in parts of
    // these three.
    static void shares(int i, int n, bool odd, float *parts) {
        parts[0] = odd ? 1 - (float)i / n : 1;
        parts[1] = 1;
        parts[2] = odd ? (float)(i + 1) / n : 0;
    }

    void uneven(int times, int y, u8 *out) {
        const bool across = times <= a.halved_x, down = times <= a.halved_y;
        const int n = width(times), larger = width(times - 1), taller = height(times - 1);
        float parts[3] = {1, 0, 0};
        if (down) shares(y, height(times), taller % 2, parts);
        // Three rows may be needed and two are kept: each is added up as it is made.
        float *sum_row = sums[times];
        for (int i = 0; i < 3; i++) {
            if (i && parts[i] == 0) continue;
            const u8 *p = row(times - 1, down ? 2 * y + i : y);
            for (int x = 0; x < 3 * larger; x++)
                sum_row[x] = (i ? sum_row[x] : 0) + parts[i] * p[x];
        }
        const float rows_in = parts[0] + parts[1] + parts[2];
        for (int x = 0; x < n; x++) {
            float part[3] = {1, 0, 0};
            if (across) shares(x, n, larger % 2, part);
            const float area = rows_in * (part[0] + part[1] + part[2]);
            for (int c = 0; c < 3; c++) {
                float sum = 0;
                for (int i = 0; i < 3; i++)
                    if (part[i] != 0) sum += part[i] * sum_row[3 * (across ? 2 * x + i : x) + c];
                out[3 * x + c] = nearest_level(sum / area);
            }
        }
    }
};

// first_blend of two rows of n values, in 16 bits
static void blend_rows(const Tap &t, const u8 *p, const u8 *q, i16 *__restrict out, int n) {
    if (t.far_weight > t.near_weight) {
        const Tap other = {t.far, t.near, t.far_weight, t.near_weight};
        return blend_rows(other, q, p, out, n);
    }
    if (t.near_weight == t.far_weight) {
        for (int x = 0; x < n; x++) out[x] = (i16)((p[x] + q[x]) * 64);
        return;
    }
    // (p (2048 - w) + q w) / 16 = 128 p + (q - p) w / 16
    const i16 weight = (i16)(t.far_weight << 5);
    for (int x = 0; x < n; x++) {
        const i16 step = (i16)((q[x] - p[x]) * 128);
        out[x] = (i16)(p[x] * 128 + (step * weight >> 16));
    }
}

// The upper halves of products
static inline s16 high_product(q4 a, q4 b) {
    const w16 product =
        __builtin_convertvector((s16)a, w16) * __builtin_convertvector((s16)b, w16);
    return __builtin_convertvector(product >> 16, s16);
}
static inline h16 high_product(h16 a, h16 b) {
    const v16 product = __builtin_convertvector(a, v16) * __builtin_convertvector(b, v16);
    return __builtin_convertvector(product >> 16, h16);
}

// second_blend of two rows of n values, in 16 bits
static void second_blend_rows(const Tap &t, const u16 *near, const u16 *far, u8 *out, int n) {
    const h16 near_weight = (h16){} + (u16)t.near_weight, far_weight = (h16){} + (u16)t.far_weight;
    int x = 0;
    for (; x + 16 <= n; x += 16) {
        const h16 sum = high_product(load<h16>(near + x), near_weight) +
                        high_product(load<h16>(far + x), far_weight);
        const b16 levels = __builtin_convertvector((sum + 2) >> 2, b16);
        copy(out + x, &levels, sizeof levels);
    }
    for (; x < n; x++) out[x] = (u8)second_blend(t, near[x], far[x]);
}

// second_blend along a row of BGR pixels, four at once; what is behind its end is read.
static void blend_columns(const Sides *sides, const i16 *p, u8 *out, int n) {
    int x = 0;
    for (; x + 4 <= n; x += 4) {
        const Sides &s = sides[x / 4];
        const q4 near = {load<u64>(p + s.near[0]), load<u64>(p + s.near[1]),
                         load<u64>(p + s.near[2]), load<u64>(p + s.near[3])};
        const q4 far = {load<u64>(p + s.far[0]), load<u64>(p + s.far[1]),
                        load<u64>(p + s.far[2]), load<u64>(p + s.far[3])};
        const s16 sum = high_product(near, load<q4>(s.near_weights)) +
                        high_product(far, load<q4>(s.far_weights));
        const b16 levels = __builtin_convertvector((sum + 2) >> 2, b16);
        const b16 packed = __builtin_shufflevector(
            levels, levels, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15
        );
        copy(out + 3 * x, &packed, 12);
    }
    for (; x < n; x++) {
        const Sides &s = sides[x / 4];
        const int i = x % 4;
        const Tap t = {0, 0, (int)(s.near_weights[i] & 0xffff), (int)(s.far_weights[i] & 0xffff)};
        for (int c = 0; c < 3; c++)
            out[3 * x + c] = (u8)second_blend(t, p[s.near[i] + c], p[s.far[i] + c]);
    }
}

// A row of n BGR pixels to three rows of floats in [0, 1], RGB, `plane` apart.
static void planes_row(const u8 *p, float *out, Bytes plane, int n) {
    float *red = out, *green = out + plane, *blue = out + 2 * plane;
    for (int x = 0; x < n; x++) {
        blue[x] = p[3 * x] * (1 / 255.0f);
        green[x] = p[3 * x + 1] * (1 / 255.0f);
        red[x] = p[3 * x + 2] * (1 / 255.0f);
    }
}

// The sums of four rows of n values
static void sum_rows(const u8 *const rows[REFINED], u16 *__restrict out, int n) {
    const u8 *p = rows[0], *q = rows[1], *r = rows[2], *s = rows[3];
    for (int x = 0; x < n; x++) out[x] = (u16)(p[x] + q[x] + r[x] + s[x]);
}

// The mean level of a low pixel's channel, from such sums
static inline float low_level(const u16 *sums) {
    return NEAREST((float)(sums[0] + sums[3] + sums[6] + sums[9]) * (1 / 16.0f));
}

static void low_row(const u16 *sums, float *out, Bytes plane, int w) {
    for (int x = 0; x < w; x++)
        for (int c = 0; c < 3; c++)
            out[(2 - c) * plane + x] = low_level(sums + 3 * REFINED * x + c) * (1 / 255.0f);
}

// One row to a band of four: they share a row of the low planes.
KERNEL(prepare, Prepare, 8) {
    i16 *blended = (i16 *)(a.scratch + lane * a.lane_bytes);
    u16 *sums = (u16 *)(blended + (3 * (Bytes)a.width + 4) / 2 * 2);
    Halver halver(a, (u8 *)(sums + (3 * (Bytes)a.wide + 1) / 2 * 2));
    const int times = halver.halvings(), n = halver.width(times), m = halver.height(times);
    const bool same = n == a.wide && m == a.tall;
    const double scale_y = 1 / ((double)a.tall / m);
    for (int y = REFINED * first; y < REFINED * last && y < a.tall; y++) {
        u8 *out = a.guide + 3 * (Bytes)a.wide * y;
        if (same) {
            copy(out, halver.row(times, y), 3 * (Bytes)n);
        } else {
            const Tap t = tap(y, scale_y, m);
            const u8 *p = halver.row(times, t.near), *q = halver.row(times, t.far);
            blend_rows(t, p, q, blended, 3 * n);
            blend_columns(a.sides, blended, out, a.wide);
        }
        if (a.high)
            planes_row(out, a.high + (Bytes)a.wide * y, (Bytes)a.wide * a.tall, a.wide);
    }
    if (!a.low) return;
    const Bytes row = 3 * (Bytes)a.wide;
    const int w = a.wide / REFINED;
    for (int y = first; y < last; y++) {
        const u8 *p = a.guide + row * REFINED * y;
        const u8 *const rows[REFINED] = {p, p + row, p + 2 * row, p + 3 * row};
        sum_rows(rows, sums, (int)row);
        low_row(sums, a.low + (Bytes)w * y, (Bytes)w * (a.tall / REFINED), w);
    }
}

// ---- A part of the camera's picture: window.Cropper --------------------------------------

struct Crop {
    const u8 *picture;  // (height, width, 3), rows `stride` bytes apart
    u8 *out;            // (tall, wide, 3)
    Sides *sides;       // as above, from crop_sides: from the first column's neighbour on
    u8 *scratch;
    Bytes stride, lane_bytes;
    double left, top, scale_x, scale_y;  // the part's corner, and its pixels to one of the output
    int width, height, wide, tall;

    Tap column(int x) const { return tap_at((float)(left + (x + 0.5) * scale_x - 0.5), width); }
    Tap row(int y) const { return tap_at((float)(top + (y + 0.5) * scale_y - 0.5), height); }
};

const int CROP_ONE = 16;  // of the weights in its sides, to 1/2048

EXPORT void crop_sides(const Crop *a) {
    const int first = a->column(0).near;
    for (int x = 0; x < a->wide; x++) a->sides[x / 4].set(x, a->column(x), first, CROP_ONE);
}

// Levels times weights, to 1/128 of a level
static inline h16 weighed(b16 levels, const u64 *weights) {
    return high_product(__builtin_convertvector(levels, h16) << 8, load<h16>(weights));
}

// first_blend along a row of BGR pixels, four at once; `count` values of it are there. A column's
// neighbours lie beside each other, or the second one's weight is 0.
static void across_columns(const Sides *sides, const u8 *p, int count, u16 *out, int n) {
    int x = 0;
    for (; x + 6 <= n && sides[x / 4].near[3] + 8 <= count; x += 4) {  // 16 values are written
        const Sides &s = sides[x / 4];
        const q2 one = {load<u64>(p + s.near[0]), load<u64>(p + s.near[1])};
        const q2 other = {load<u64>(p + s.near[2]), load<u64>(p + s.near[3])};
        const b16 near = __builtin_shufflevector(
            (b16)one, (b16)other, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
        );
        const b16 far = __builtin_shufflevector(
            (b16)one, (b16)other, 3, 4, 5, 6, 11, 12, 13, 14, 19, 20, 21, 22, 27, 28, 29, 30
        );
        const h16 sum = weighed(near, s.near_weights) + weighed(far, s.far_weights);
        const h16 packed = __builtin_shufflevector(
            sum, sum, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15
        );
        copy(out + 3 * x, &packed, sizeof packed);
    }
    for (; x < n; x++) {
        const Sides &s = sides[x / 4];
        const int i = x % 4, near = (int)(s.near_weights[i] & 0xffff) / CROP_ONE;
        const Tap t = {0, 0, near, 2048 - near};
        for (int c = 0; c < 3; c++)
            out[3 * x + c] = (u16)first_blend(t, p[s.near[i] + c], p[s.far[i] + c]);
    }
}

KERNEL(crop, Crop, 32) {
    const int n = 3 * a.wide;
    u16 *const values = (u16 *)(a.scratch + lane * a.lane_bytes);
    u16 *const rows[2] = {values, values + n};  // the last two, at the output's columns
    int kept[2] = {-1, -1};
    const int from = 3 * a.column(0).near, count = 3 * a.width - from;
    const auto row = [&](int y) {
        const int slot = y & 1;
        const u8 *p = a.picture + y * a.stride + from;
        if (kept[slot] != y) across_columns(a.sides, p, count, rows[slot], a.wide);
        kept[slot] = y;
        return rows[slot];
    };
    for (int y = first; y < last; y++) {
        const Tap t = a.row(y);
        const u16 *near = row(t.near), *far = row(t.far);
        second_blend_rows(t, near, far, a.out + (Bytes)n * y, n);
    }
}

// ---- The matte over time: temporal.gated -------------------------------------------------

struct Gate {
    const float *alpha, *last;  // (4h, 4w)
    float *change;              // (h, w)
    float *out;                 // (4h, 4w)
    u8 *scratch;
    Bytes lane_bytes;
    int w, h;
};

// |alpha - last|, its mean over each low pixel
KERNEL(change, Gate, 8) {
    const Bytes wide = REFINED * (Bytes)a.w;
    (void)lane;
    for (int y = first; y < last; y++)
        for (int x = 0; x < a.w; x++) {
            const Bytes at = REFINED * (y * wide + x);
            f4 sum = {0, 0, 0, 0};
            for (int i = 0; i < REFINED; i++) {
                const f4 d = load<f4>(a.alpha + at + i * wide) - load<f4>(a.last + at + i * wide);
                sum += d > 0 ? d : -d;
            }
            a.change[(Bytes)y * a.w + x] = (sum[0] + sum[1] + sum[2] + sum[3]) * (1 / 16.0f);
        }
}

// A row of weights, from the change's mean over 3x3 low pixels
static void weight_row(const Gate &a, int y, float *out) {
    static_assert(GATE_BLUR == 3, "the three rows are added up by hand");
    const float *rows[3];
    for (int i = 0; i < 3; i++) rows[i] = a.change + (Bytes)a.w * mirrored(y + i - 1, a.h);
    for (int x = 0; x < a.w; x++) {
        float sum = 0;
        for (int j = -1; j <= 1; j++) {
            const int at = mirrored(x + j, a.w);
            sum += rows[0][at] + rows[1][at] + rows[2][at];
        }
        out[x] = gate_weight(sum * (1 / 9.0f));
    }
}

// last + weight (alpha - last)
KERNEL(gate, Gate, 8) {
    const Bytes wide = REFINED * (Bytes)a.w;
    float *weights = (float *)(a.scratch + lane * a.lane_bytes), *mixed_row = weights + 3 * a.w;
    for (int y = first; y < last; y++) {
        for (int i = 0; i < 3; i++) weight_row(a, clamped(y + i - 1, a.h), weights + i * a.w);
        for (int i = 0; i < REFINED; i++) {
            const float place = (i + 0.5f) / REFINED + 0.5f;  // in rows of `weights`
            const int above = (int)place;
            const float share = place - (float)above;
            const float *p = weights + above * a.w, *q = p + a.w;
            for (int x = 0; x < a.w; x++) mixed_row[x] = p[x] + share * (q[x] - p[x]);
            const f4 shares = {0.625f, 0.875f, 0.125f, 0.375f};
            const Bytes row = (REFINED * (Bytes)y + i) * wide;
            for (int x = 0; x < a.w; x++) {
                const float left = mixed_row[clamped(x - 1, a.w)], here = mixed_row[x];
                const float right = mixed_row[clamped(x + 1, a.w)];
                const f4 near = {left, left, here, here}, far = {here, here, right, right};
                const Bytes at = row + REFINED * x;
                const f4 old = load<f4>(a.last + at), moved = load<f4>(a.alpha + at) - old;
                store(a.out + at, old + (near + shares * (far - near)) * moved);
            }
        }
    }
}

// ---- The composite: compositor.Compositor ------------------------------------------------

struct Model {
    const float *alpha;     // (tall, wide) in [0, 1]
    const u8 *guide;        // (tall, wide, 3)
    const float *residual;  // (h, w, 3) BGR in [-1, 1]
    u8 *levels, *grey;      // (tall, wide)
    float *moments;         // (h, w, 4)
    float *own;             // (h, w, 8): as the maps, of the low pixel alone
    float *maps;            // (h, w, 8)
    u8 *scratch;
    Bytes lane_bytes;
    int wide, tall, w, h;
    float wrap;
};

static void grey_row(const u8 *p, u8 *out, int n) {
    for (int x = 0; x < n; x++) out[x] = (u8)grey_level(p + 3 * x);
}

static void levels_row(const float *alpha, u8 *out, int n) {
    for (int x = 0; x < n; x++) out[x] = nearest_level(alpha[x] * SOLID);
}

// Repeats the last of n pixels up to `all`.
template <class T> static void pad(T *row, int n, int all, int channels) {
    for (int x = channels * n; x < channels * all; x++) row[x] = row[x - channels];
}

// Sums of rows over a low row: of alpha and of grey of the upper two and of the lower
// two, of the colours of all four. Edges are repeated to whole low pixels.
struct LowSums {
    float *alpha[2];
    u16 *grey[2], *colours;

    LowSums(u8 *memory, int wide) {
        alpha[0] = (float *)memory;
        alpha[1] = alpha[0] + wide;
        grey[0] = (u16 *)(alpha[1] + wide);
        grey[1] = grey[0] + wide;
        colours = grey[1] + wide;
    }

    void add(const Model &a, int y) {
        const int all = REFINED * a.w;
        const u8 *guide[REFINED];
        for (int k = 0; k < 2; k++) {
            Bytes rows[2];
            for (int i = 0; i < 2; i++) {
                const int row = clamped(REFINED * y + 2 * k + i, a.tall);
                rows[i] = (Bytes)a.wide * row;
                guide[2 * k + i] = a.guide + 3 * rows[i];
                grey_row(a.guide + 3 * rows[i], a.grey + rows[i], a.wide);
                levels_row(a.alpha + rows[i], a.levels + rows[i], a.wide);
            }
            const float *p = a.alpha + rows[0], *q = a.alpha + rows[1];
            for (int x = 0; x < a.wide; x++) alpha[k][x] = p[x] + q[x];
            const u8 *g = a.grey + rows[0], *h = a.grey + rows[1];
            for (int x = 0; x < a.wide; x++) grey[k][x] = (u16)(g[x] + h[x]);
            pad(alpha[k], a.wide, all, 1);
            pad(grey[k], a.wide, all, 1);
        }
        sum_rows(guide, colours, 3 * a.wide);
        pad(colours, a.wide, all, 3);
    }

    // The means over a low pixel of what stands for 2x2 pixels each: it bounds the cost.
    f4 moments(int x) const {
        f4 sums = {0, 0, 0, 0};
        for (int k = 0; k < 2; k++)
            for (int i = REFINED * x; i < REFINED * (x + 1); i += 2) {
                const float g = (float)((grey[k][i] + grey[k][i + 1] + 2) >> 2) * (1 / 255.0f);
                const float m = (alpha[k][i] + alpha[k][i + 1]) * 0.25f;
                const f4 more = {g, m, g * m, g * g};
                sums += more;
            }
        return sums * 0.25f;
    }
};

// Of each low pixel the moments and both colours
KERNEL(moments, Model, 4) {
    LowSums sums(a.scratch + lane * a.lane_bytes, REFINED * a.w);
    for (int y = first; y < last; y++) {
        sums.add(a, y);
        for (int x = 0; x < a.w; x++) {
            const Bytes cell = (Bytes)y * a.w + x;
            const f4 mean = sums.moments(x);
            store(a.moments + MOMENTS * cell, mean);
            float *own = a.own + MAPS * cell;
            for (int c = 0; c < 3; c++) {
                const float level = low_level(sums.colours + 3 * REFINED * x + c);
                const float seen = level + a.residual[3 * cell + c] * SOLID;
                own[c] = within(seen, 0.0f, (float)SOLID);
                own[ROOM + c] = level;
            }
            const float person = within(mean[1], 0.0f, 1.0f), room = 1 - person;
            own[SLOPE] = person * person;  // the weights of the two colours
            own[SHARE] = room * room;
        }
    }
}

static inline f8 weighted(const float *own) {
    const f8 v = load<f8>(own);
    const float person = v[SLOPE], room = v[SHARE];
    const f8 weight = {person, person, person, 1, room, room, room, 1};
    return v * weight;
}

// The mean colours of person and room around each low pixel, the guided filter's slope,
// and how much of the matte around is room
KERNEL(model, Model, 4) {
    const int reach = COLOUR_BLUR / 2, slope_reach = SLOPE_BLUR / 2;
    float *columns = (float *)(a.scratch + lane * a.lane_bytes), *means = columns + MAPS * a.w;
    for (int y = first; y < last; y++) {
        fill(columns, 0, (Bytes)sizeof(float) * (MAPS + MOMENTS) * a.w);
        for (int i = -reach; i <= reach; i++) {
            const float *own = a.own + MAPS * (Bytes)a.w * mirrored(y + i, a.h);
            for (int x = 0; x < MAPS * a.w; x += MAPS)
                store(columns + x, load<f8>(columns + x) + weighted(own + x));
        }
        for (int i = -slope_reach; i <= slope_reach; i++) {
            const float *m = a.moments + MOMENTS * (Bytes)a.w * mirrored(y + i, a.h);
            for (int x = 0; x < MOMENTS * a.w; x++) means[x] += m[x];
        }
        for (int x = 0; x < a.w; x++) {
            f8 sum = {};
            for (int j = -reach; j <= reach; j++)
                sum += load<f8>(columns + MAPS * mirrored(x + j, a.w));
            f4 mean = {};
            for (int j = -slope_reach; j <= slope_reach; j++)
                mean += load<f4>(means + MOMENTS * mirrored(x + j, a.w));
            sum *= 1.0f / (COLOUR_BLUR * COLOUR_BLUR);
            mean *= 1.0f / (SLOPE_BLUR * SLOPE_BLUR);
            const Bytes cell = (Bytes)y * a.w + x;
            const f8 own = load<f8>(a.own + MAPS * cell);
            const float person = sum[SLOPE] + COLOUR_EPSILON, room = sum[SHARE] + COLOUR_EPSILON;
            const f8 weight = {person, person, person, 1, room, room, room, 1};
            f8 map = (sum + COLOUR_EPSILON * own) / weight;
            map[SLOPE] = guided_slope(mean[0], mean[1], mean[2], mean[3]);
            map[SHARE] = a.wrap * within(1 - mean[1], 0.0f, 1.0f);
            store(a.maps + MAPS * cell, map);
        }
    }
}

const float SHINES = 1 / 512.0f;  // of the light: less is not seen

// Of a column of the output: its neighbours in the matte and in the maps.
struct Column {
    Tap alpha;
    Near matte, low;
};

// Columns of the matte that are looked at together: mostly all person or all room.
const int BLOCK = 8;

struct Compose {
    const u8 *image, *back;  // (height, width, 3), rows `image_stride` and `back_stride` apart
    const u8 *levels, *grey; // (tall, wide)
    const float *maps;       // (h, w, 8)
    const float *glow;       // (h, w, 4) BGR, the background out of focus, or null: no wrap
    const float *grade;      // (256, 8), the person's colours by brightness, or null: as they are
    Column *columns;         // (width,), from compose_columns
    int *starts;             // (blocks + 1,): the first column of the output in each block
    u8 *out;                 // (height, width, 3)
    u8 *alpha;               // (height, width)
    u8 *front;               // (height, width, 3), or null
    u8 *scratch;
    Bytes image_stride, back_stride, lane_bytes;
    int width, height, wide, tall, w, h;
    int refine;  // the output is larger than the matte

    int blocks() const { return (wide + BLOCK - 1) / BLOCK; }
};

EXPORT int column_size(void) { return (int)sizeof(Column); }
EXPORT void compose_columns(const Compose *a) {
    const float to_matte = (float)a->wide / a->width;
    int block = 0;
    for (int x = 0; x < a->width; x++) {
        const float place = (x + 0.5f) * to_matte;
        const Tap alpha = tap(x, 1 / ((double)a->width / a->wide), a->wide);
        const Near low = near_place(place * (1.0f / REFINED), a->w);
        a->columns[x] = Column{alpha, near_place(place, a->wide), low};
        while (block * BLOCK <= alpha.near) a->starts[block++] = x;
    }
    while (block <= a->blocks()) a->starts[block++] = a->width;
}

// Rows of the matte at the output's columns, between which its rows lie: first_blend. The
// last two are kept, and of each the blocks that were asked for.
struct Across {
    const Compose &a;
    u16 *values[2];  // (width,)
    u8 *known[2];    // (blocks,)
    int kept[2] = {-1, -1};

    Across(const Compose &a, u8 *memory) : a(a) {
        for (int i = 0; i < 2; i++, memory += sizeof(u16) * a.width) values[i] = (u16 *)memory;
        for (int i = 0; i < 2; i++, memory += a.blocks()) known[i] = memory;
    }

    const u16 *row(int y, int block, int end) {
        const int slot = y & 1;
        if (kept[slot] != y) fill(known[slot], 0, a.blocks());
        kept[slot] = y;
        const u8 *levels = a.levels + (Bytes)a.wide * y;
        for (; block < end; block++) {
            if (known[slot][block]) continue;
            known[slot][block] = 1;
            for (int x = a.starts[block]; x < a.starts[block + 1]; x++) {
                const Tap &t = a.columns[x].alpha;
                values[slot][x] = (u16)first_blend(t, levels[t.near], levels[t.far]);
            }
        }
        return values[slot];
    }
};

// One row of the output, and where it lies in the matte and in the maps. `map_row` (w, 8),
// `glow_row` (w, 4) and `grey_row` (wide,) are between two rows of theirs, where it is needed.
struct Line {
    const u8 *image, *back;
    u8 *out, *alpha, *front;
    const u8 *near_levels, *far_levels;
    float *map_row, *glow_row, *grey_row;
    Across &across;
    Tap tap;
    Near matte, low;
};

typedef u8 b4 __attribute__((vector_size(4)));

// A pixel of a row; the fourth value is anything from 0 to 255. Nothing is read behind the row.
static inline f4 colour(const u8 *p, bool last) {
    b4 v = {0, 0, 0, 0};
    if (last) copy(&v, p, 3);
    else copy(&v, p, 4);
    return __builtin_convertvector(v, f4);
}

// Cut off to levels. Unless it is the row's last, the next pixel's first value is lost.
static inline void write(u8 *p, f4 v, bool last) {
    const b4 levels = __builtin_convertvector(__builtin_convertvector(v, i4), b4);
    if (last) copy(p, &levels, 3);
    else copy(p, &levels, 4);
}

template <class V> static inline V blend(float share, V near, V far) {
    return near + share * (far - near);
}

// Columns `first` to `end` of the rows that lie between two rows of the maps
static void blend_maps(const Compose &a, const Line &l, int first, int end) {
    const Near &y = l.low;
    const int from = a.columns[first].low.near, to = a.columns[end - 1].low.far;
    const float *near = a.maps + (Bytes)MAPS * a.w * y.near, *far = a.maps + (Bytes)MAPS * a.w * y.far;
    for (int x = MAPS * from; x < MAPS * (to + 1); x++)
        l.map_row[x] = blend(y.share, near[x], far[x]);
    if (!a.glow) return;
    near = a.glow + (Bytes)4 * a.w * y.near, far = a.glow + (Bytes)4 * a.w * y.far;
    for (int x = 4 * from; x < 4 * (to + 1); x++) l.glow_row[x] = blend(y.share, near[x], far[x]);
}

static void blend_grey(const Compose &a, const Line &l, int first, int end) {
    const float share = l.matte.share;
    const u8 *near = a.grey + (Bytes)a.wide * l.matte.near, *far = a.grey + (Bytes)a.wide * l.matte.far;
    const int from = a.columns[first].matte.near, to = a.columns[end - 1].matte.far;
    for (int x = from; x <= to; x++) l.grey_row[x] = blend(share, (float)near[x], (float)far[x]);
}

static inline f4 light_at(const Line &l, const Near &low) {
    return blend(low.share, load<f4>(l.glow_row + 4 * low.near), load<f4>(l.glow_row + 4 * low.far));
}

static inline f4 grade_colour(const float *table, f4 front) {
    const f4 none = {0, 0, 0, 0}, full = none + (float)SOLID;
    const float *row = table + GRADE * brightness_level(front[0], front[1], front[2]);
    return graded(front, load<f4>(row), load<f4>(row + GRADE / 2), none, full);
}

static inline void soft_pixel(const Compose &a, const Line &l, int x) {
    const f4 none = {0, 0, 0, 0}, full = none + (float)SOLID;
    const bool last = x + 1 == a.width;
    const f4 image = colour(l.image + 3 * x, last);
    const Near &low = a.columns[x].low;
    const float *near = l.map_row + MAPS * low.near, *far = l.map_row + MAPS * low.far;
    const f8 map = blend(low.share, load<f8>(near), load<f8>(far));
    const f4 person = __builtin_shufflevector(map, map, 0, 1, 2, 3);
    const f4 room = __builtin_shufflevector(map, map, 4, 5, 6, 7);
    int alpha = l.alpha[x];
    if (a.refine) {
        const Near &matte = a.columns[x].matte;
        const float there = blend(matte.share, l.grey_row[matte.near], l.grey_row[matte.far]);
        alpha = refined(alpha, person[SLOPE], brightness(image[0], image[1], image[2]), there);
        l.alpha[x] = (u8)alpha;
    }
    const float weight = (float)alpha * (1.0f / SOLID);
    f4 front = fused(person, room, image, weight, none, full);
    if (a.grade) front = grade_colour(a.grade, front);
    if (l.front) write(l.front + 3 * x, alpha ? front + 0.5f : none, last);
    if (a.glow) front = wrapped(front, room[SHARE - ROOM], light_at(l, low));
    write(l.out + 3 * x, mixed(front, colour(l.back + 3 * x, last), weight), last);
}

// Columns x to `end`, which are soft
static void soft_span(const Compose &given, const Line &line, int x, int end) {
    // Copies: a store to a picture might change what lies anywhere, as the compiler sees it.
    const Compose a = given;
    const Line l = line;
    for (; x < end; x++) soft_pixel(a, l, x);  // in order: see `write`
}

// Solid pixels that the background's light may reach
static void light(const Compose &a, const Line &l, int x, int end) {
    blend_maps(a, l, x, end);
    for (; x < end; x++) {
        const Near &low = a.columns[x].low;
        const float *shares = l.map_row + SHARE;
        const float share = blend(low.share, shares[MAPS * low.near], shares[MAPS * low.far]);
        if (share <= SHINES) continue;
        const f4 front = colour(l.out + 3 * x, true);
        write(l.out + 3 * x, wrapped(front, share, light_at(l, low)) + 0.5f, true);
    }
}

// Solid pixels whose colours are changed
static void grade_span(const Compose &a, const Line &l, int x, int end) {
    for (; x < end; x++) {  // in order: see `write`
        const bool last = x + 1 == a.width;
        const f4 front = grade_colour(a.grade, colour(l.image + 3 * x, last));
        write(l.out + 3 * x, front + 0.5f, last);
    }
}

// Columns x to `end` of one level, 0 or SOLID
static void solid_span(const Compose &a, const Line &l, int x, int end, int level) {
    const Bytes at = 3 * x, count = 3 * (end - x);
    if (a.grade && level) grade_span(a, l, x, end);
    else copy(l.out + at, (level ? l.image : l.back) + at, count);
    if (l.front && level) copy(l.front + at, l.out + at, count);
    if (l.front && !level) fill(l.front + at, 0, count);
    if (a.glow && level) light(a, l, x, end);
}

// The one level of columns x to x + BLOCK of two rows of the matte, or -1: what lies
// between them, and before the next column, has it too.
static int block_level(const Compose &a, const Line &l, int x) {
    const int level = l.near_levels[x];
    if (level != 0 && level != SOLID) return -1;
    if (x + BLOCK < a.wide) {
        const u64 all = level ? ~0ull : 0;
        u64 near, far;
        copy(&near, l.near_levels + x, BLOCK);
        copy(&far, l.far_levels + x, BLOCK);
        const bool one = near == all && far == all && l.near_levels[x + BLOCK] == level &&
                         l.far_levels[x + BLOCK] == level;
        return one ? level : -1;
    }
    for (; x < a.wide; x++)
        if (l.near_levels[x] != level || l.far_levels[x] != level) return -1;
    return level;
}

const int CACHE_LINE = 64;  // bytes

// Blocks whose alpha has to be computed
static void mixed_span(const Compose &a, const Line &l, int block, int last_block) {
    const int first = a.starts[block], end = a.starts[last_block];
    for (int at = 3 * first; at < 3 * end; at += CACHE_LINE) {  // they come while alpha is computed
        __builtin_prefetch(l.image + at);
        __builtin_prefetch(l.back + at);
        __builtin_prefetch(l.out + at, 1);
    }
    const u16 *near = l.across.row(l.tap.near, block, last_block);
    const u16 *far = l.across.row(l.tap.far, block, last_block);
    second_blend_rows(l.tap, near + first, far + first, l.alpha + first, end - first);
    blend_maps(a, l, first, end);
    if (a.refine) blend_grey(a, l, first, end);
    const auto solid = [](int level) { return level == 0 || level == SOLID; };
    for (int x = first; x < end;) {  // in order: see `write`
        const int level = l.alpha[x], from = x++;
        if (solid(level)) {
            while (x < end && l.alpha[x] == level) x++;
            solid_span(a, l, from, x, level);
        } else {
            while (x < end && !solid(l.alpha[x])) x++;
            soft_span(a, l, from, x);
        }
    }
}

static void compose_line(const Compose &a, const Line &l) {
    for (int block = 0; block < a.blocks();) {
        const int from = block, level = block_level(a, l, BLOCK * block++);
        while (block < a.blocks() && block_level(a, l, BLOCK * block) == level) block++;
        const int x = a.starts[from], end = a.starts[block];
        if (x == end) continue;  // the output is smaller than the matte
        if (level < 0) {
            mixed_span(a, l, from, block);
        } else {
            fill(l.alpha + x, level, end - x);
            solid_span(a, l, x, end, level);
        }
    }
}

KERNEL(compose, Compose, 16) {
    float *rows = (float *)(a.scratch + lane * a.lane_bytes);
    float *glow_row = rows + MAPS * (Bytes)a.w, *grey_row = glow_row + 4 * (Bytes)a.w;
    Across across(a, (u8 *)(grey_row + a.wide));
    const float to_matte = (float)a.tall / a.height;
    for (int y = first; y < last; y++) {
        const Bytes row = (Bytes)a.width * y;
        const float place = (y + 0.5f) * to_matte;
        const Tap t = tap(y, 1 / ((double)a.height / a.tall), a.tall);
        compose_line(a, {
            a.image + a.image_stride * y, a.back + a.back_stride * y,
            a.out + 3 * row, a.alpha + row, a.front ? a.front + 3 * row : nullptr,
            a.levels + (Bytes)a.wide * t.near, a.levels + (Bytes)a.wide * t.far,
            rows, glow_row, grey_row, across, t, near_place(place, a.tall),
            near_place(place * (1.0f / REFINED), a.h)
        });
    }
}

// ---- Noise in the dark: calm.Calm --------------------------------------------------------

const int CALM_WIDE = 8, CALM_TALL = 4;  // pixels that are looked at together
const int CALM_ONE = 64;                 // of `last`, to a level

struct Calm {
    const u8 *image;  // (height, width, 3), rows `image_stride` apart
    i16 *last;        // (height, width, 3): what was given out for the last frame, in 1/64
    u8 *out;          // (height, width, 3)
    Bytes image_stride;
    int width, height;
    float amount;  // in [0, 1]
    int fresh;     // there is no last frame
};

static inline i16 calm_level(i16 last) { return (i16)((last + CALM_ONE / 2) >> 6); }

// How much the new picture counts in a block, in 1/32767: by the mean difference and the
// mean brightness of its pixels. `differences` and `sums` are those of its columns' values.
static int calm_weight(const Calm &a, const i16 *differences, const i16 *sums, int wide, int tall) {
    int difference[3] = {0, 0, 0}, sum = 0, most = 0;
    for (int x = 0; x < wide; x++)
        for (int c = 0; c < 3; c++) {
            difference[c] += differences[3 * x + c];
            sum += sums[3 * x + c];
        }
    for (int c = 0; c < 3; c++) {
        const int d = difference[c] < 0 ? -difference[c] : difference[c];
        most = d > most ? d : most;
    }
    const float each = 1 / (float)(wide * tall);
    return (int)(32767 * calm_share((float)most * each, (float)sum * each / 3, a.amount));
}

// One row of a block, n values: last + weight (image - last); where a value alone is far
// from the last one, it counts more.
static inline void calm_row(const u8 *p, i16 *__restrict last, u8 *__restrict out, int n, i16 weight) {
    const i16 far = (i16)(CALM_FAR * CALM_ONE), most = 32767 / CALM_STEEP;
    for (int x = 0; x < n; x++) {
        const i16 d = (i16)(p[x] * CALM_ONE - last[x]);
        i16 over = (i16)((d < 0 ? -d : d) - far);
        over = over < 0 ? 0 : over > most ? most : over;
        const i16 more = (i16)(over * CALM_STEEP), w = weight > more ? weight : more;
        const i16 now = (i16)(last[x] + ((int)(i16)(2 * d) * w >> 16));
        last[x] = now;
        out[x] = (u8)calm_level(now);
    }
}

// Inlined with whole blocks, so that their size is known to the compiler.
static inline __attribute__((always_inline)) void calm_block(const Calm &a, int x, int y, int wide, int tall) {
    const Bytes at = 3 * ((Bytes)a.width * y + x), apart = 3 * (Bytes)a.width;
    const u8 *p = a.image + a.image_stride * y + 3 * (Bytes)x;
    i16 differences[3 * CALM_WIDE] = {}, sums[3 * CALM_WIDE] = {};
    for (int i = 0; i < tall; i++)
        for (int j = 0; j < 3 * wide; j++) {
            const i16 level = p[a.image_stride * i + j];
            differences[j] = (i16)(differences[j] + level - calm_level(a.last[at + apart * i + j]));
            sums[j] = (i16)(sums[j] + level);
        }
    const i16 weight = (i16)calm_weight(a, differences, sums, wide, tall);
    for (int i = 0; i < tall; i++)
        calm_row(p + a.image_stride * i, a.last + at + apart * i, a.out + at + apart * i, 3 * wide, weight);
}

// One row is a row of blocks.
KERNEL(calm, Calm, 4) {
    (void)lane;
    for (int row = first; row < last; row++) {
        const int y = CALM_TALL * row;
        const int tall = a.height - y < CALM_TALL ? a.height - y : CALM_TALL;
        for (int i = 0; a.fresh && i < tall; i++) {
            const u8 *p = a.image + a.image_stride * (y + i);
            i16 *kept = a.last + 3 * (Bytes)a.width * (y + i);
            for (int x = 0; x < 3 * a.width; x++) kept[x] = (i16)(p[x] * CALM_ONE);
        }
        int x = 0;
        for (; tall == CALM_TALL && x + CALM_WIDE <= a.width; x += CALM_WIDE)
            calm_block(a, x, y, CALM_WIDE, CALM_TALL);
        for (; x < a.width; x += CALM_WIDE)
            calm_block(a, x, y, a.width - x < CALM_WIDE ? a.width - x : CALM_WIDE, tall);
    }
}

// ---- The room, out of focus: background.Blur ---------------------------------------------

const float ROOM_EPSILON = 1e-3f;  // of a weight, in [0, 1]
const float ROOM_PURE = 3;         // times alpha is taken off a lifted colour's weight

struct Room {
    const u8 *small;        // (h, w, 3)
    const float *alpha;     // (h, w)
    const float *residual;  // (h, w, 3) BGR in [-1, 1]
    float *seen;            // (h, w, 4): the room's colours times their weight, and the weight
    const float *blurred;   // (h, w, 4): what became of it
    u8 *out;                // (h, w, 3)
    float mean[3];          // colour of the room as a whole
    int w, h;
    int lifted;  // colours to the fourth power, in [0, 1]: see depth.py
};

static inline float lifted(float v) {
    v = within(v, 0.0f, 1.0f);
    return v * v * v * v;
}

// The level of a mean colour of the room, which may be a lifted one.
static inline u8 spread_level(float v, int is_lifted) {
    if (is_lifted) v = SOLID * __builtin_sqrtf(__builtin_sqrtf(within(v, 0.0f, 1.0f)));
    return nearest_level(v);
}

KERNEL(room, Room, 16) {
    (void)lane;
    for (Bytes at = (Bytes)first * a.w; at < (Bytes)last * a.w; at++) {
        const float alpha = a.alpha[at], share = 1 - alpha;
        // A lifted colour must be sure: a tenth of a bright face would outshine a dark room.
        const float pure = a.lifted ? within(1 - ROOM_PURE * alpha, 0.0f, 1.0f) : share;
        float *seen = a.seen + 4 * at;
        for (int c = 0; c < 3; c++) {
            const float room = share * a.small[3 * at + c] - SOLID * alpha * a.residual[3 * at + c];
            const float colour = within(room, 0.0f, SOLID * share);
            seen[c] = a.lifted ? lifted(colour / (SOLID * share)) * pure * pure : colour * share;
        }
        seen[3] = pure * pure;
    }
}

KERNEL(spread, Room, 16) {
    (void)lane;
    for (Bytes at = (Bytes)first * a.w; at < (Bytes)last * a.w; at++) {
        const float *blurred = a.blurred + 4 * at, weight = 1 / (blurred[3] + ROOM_EPSILON);
        for (int c = 0; c < 3; c++)
            a.out[3 * at + c] = spread_level((blurred[c] + ROOM_EPSILON * a.mean[c]) * weight, a.lifted);
    }
}

// ---- The room through a lens: depth.Depth ------------------------------------------------

struct Disc {
    const float *seen;   // (h, w, 4)
    const float *radii;  // (h,): of a row's discs, in places
    float *sums;         // (h, w + 1, 4): of the places before
    float *out;          // (h, w, 4): the mean over a disc
    int w, h;
};

KERNEL(disc_sums, Disc, 16) {
    (void)lane;
    for (int y = first; y < last; y++) {
        const float *seen = a.seen + 4 * (Bytes)a.w * y;
        float *sums = a.sums + 4 * (Bytes)(a.w + 1) * y;
        f4 sum = {};
        store(sums, sum);
        for (int x = 0; x < a.w; x++) {
            sum += load<f4>(seen + 4 * x);
            store(sums + 4 * (x + 1), sum);
        }
    }
}

// Adds what lies within `reach` of each place of a row, from the sums of a row.
static void add_span(const float *sums, float *out, int w, float reach) {
    const float from = 0.5f - reach, to = 0.5f + reach;  // in places, of the first one
    const int left = (int)FLOOR(from), right = (int)FLOOR(to);
    const float left_share = from - (float)left, right_share = to - (float)right;
    const auto sum = [&](int i) { return load<f4>(sums + 4 * clamped(i, w + 1)); };
    for (int x = 0; x < w; x++) {
        const f4 before = blend(left_share, sum(x + left), sum(x + left + 1));
        const f4 until = blend(right_share, sum(x + right), sum(x + right + 1));
        store(out + 4 * x, load<f4>(out + 4 * x) + until - before);
    }
}

// Rows of a disc outside the map add nothing; the weight in the fourth value says so.
KERNEL(disc, Disc, 4) {
    (void)lane;
    for (int y = first; y < last; y++) {
        float *out = a.out + 4 * (Bytes)a.w * y;
        fill(out, 0, (Bytes)sizeof(float) * 4 * a.w);
        const float radius = a.radii[y];
        float area = 0;
        for (int i = -(int)radius; i <= (int)radius; i++) {
            const float reach = __builtin_sqrtf(radius * radius - (float)(i * i));
            area += 2 * reach;
            if (y + i >= 0 && y + i < a.h)
                add_span(a.sums + 4 * (Bytes)(a.w + 1) * (y + i), out, a.w, reach);
        }
        const float share = area > 0 ? 1 / area : 0;
        for (int x = 0; x < 4 * a.w; x++) out[x] *= share;
    }
}

// ---- What leaves, looked at again: guard.Guard -------------------------------------------

struct Spots {
    const u8 *composite, *back;  // (height, width, 3), rows `_stride` apart
    const u8 *alpha;             // (height, width)
    u64 *found;                  // grows by: spots of alpha 0 that are not the backdrop; alpha
    Bytes composite_stride, back_stride;
    int width, step;  // every `step`th pixel of every `step`th row is a spot
};

KERNEL(spots, Spots, 16) {
    (void)lane;
    u64 wrong = 0, sum = 0;
    for (Bytes row = first; row < last; row++) {
        const Bytes y = row * a.step;
        const u8 *p = a.composite + y * a.composite_stride, *q = a.back + y * a.back_stride;
        for (Bytes x = 0; x < a.width; x += a.step) {
            const int alpha = a.alpha[y * a.width + x];
            sum += (u64)alpha;
            const bool same = p[3 * x] == q[3 * x] && p[3 * x + 1] == q[3 * x + 1] &&
                              p[3 * x + 2] == q[3 * x + 2];
            wrong += alpha == 0 && !same;
        }
    }
    __atomic_fetch_add(a.found, wrong, __ATOMIC_RELAXED);
    __atomic_fetch_add(a.found + 1, sum, __ATOMIC_RELAXED);
}
