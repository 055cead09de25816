// A frame's way on the GPU, from upload to composite, around the three networks:
//
//   turn ▸ prepare ▸ glance ▸ hint ▸ [MPN ▸ QUN ▸ MRN] ▸ check ▸ gate ▸ steady ▸ model ▸ composite
//
// Each kernel names the function of the package whose arithmetic it repeats; the results
// agree within one level of 255. No thread waits for another inside a kernel, so that
// the same source also compiles for a CPU, where the tests run it.
//
// (w, h) is the low size and (4w, 4h) the high one. Pictures are BGR, tensors
// planar RGB in [0, 1]. One thread computes one low pixel unless stated otherwise.

#ifndef KERNEL
#define KERNEL(name, Arguments) extern "C" __global__ void name(const Arguments a)
#endif

// The formulas of a pixel and their constants are pixel.h's, as on the CPU; other constants
// in capitals are macros from kernels.py.
#include "pixel.h"

static_assert(REFINED == 4, "steady() sums sixteen pixels as four blocks of 2x2");

// What one frame leaves for the next, all zero at the start.
struct State {
    unsigned difference;  // of this frame's glance and the last one's, summed levels
    unsigned fault;       // this frame has no valid matte
    unsigned last_fault;  // the last frame had none
};

// Whether this frame may use the last one's matte: not after a cut or a fault.
__device__ inline bool remembers(const State *state, int has_last) {
    const float most = CUT_LEVEL * (GLANCE_WIDTH * GLANCE_HEIGHT * 3);
    return has_last && !state->last_fault && (float)state->difference <= most;
}

// Levels at the near row's near and far column, then at the far row's; across first.
__device__ inline int fixed_bilinear(const Tap &x, const Tap &y, int nn, int nf, int fn, int ff) {
    return second_blend(y, first_blend(x, nn, nf), first_blend(x, fn, ff));
}

// The four neighbours of a place in a map, by their offsets, and the place between them.
struct Corners {
    int nn, nf, fn, ff;
    float x, y;
};

// (x, y) in pixels of a map (height, width), pixel centres at .5, edges repeated.
__device__ inline Corners corners(float x, float y, int width, int height) {
    const Near across = near_place(x, width), down = near_place(y, height);
    const int near = down.near * width, far = down.far * width;
    return {near + across.near, near + across.far, far + across.near, far + across.far,
            across.share, down.share};
}

__device__ inline float at_corners(const Corners &n, float nn, float nf, float fn, float ff) {
    return between(n.x, n.y, nn, nf, fn, ff);
}

// ---- Before the networks -----------------------------------------------------------------

struct Turn {
    State *state;
};

// One thread: the state at the start of a frame.
KERNEL(turn, Turn) {
    if (blockIdx.x * blockDim.x + threadIdx.x + blockIdx.y + threadIdx.y) return;
    a.state->last_fault = a.state->fault;
    a.state->fault = 0;
    a.state->difference = 0;
}

struct Prepare {
    const u8 *frame;  // (height, width, 3)
    float *low;       // (3, h, w)
    float *high;      // (3, 4h, 4w)
    u8 *guide;        // (4h, 4w, 3), what high was made from
    double scale_x, scale_y;  // pixels of the halved frame to a high pixel
    int width, height, w, h;
    int halved_x, halved_y;  // how often, before the bilinear step
};

// A pixel (B, G, R) of the frame that was halved `times` times, each time by area and
// to the nearest level, in no more than halved_x and halved_y directions.
template <int times> struct Halved {
    __device__ __noinline__ static void pixel(const Prepare &a, int column, int row, int *levels) {
        const int wide = a.width >> min(times - 1, a.halved_x);
        const int tall = a.height >> min(times - 1, a.halved_y);
        const float step_x = (float)wide / (float)(a.width >> min(times, a.halved_x));
        const float step_y = (float)tall / (float)(a.height >> min(times, a.halved_y));
        const float x0 = column * step_x, x1 = fminf(x0 + step_x, (float)wide);
        const float y0 = row * step_y, y1 = fminf(y0 + step_y, (float)tall);
        float sums[3] = {0, 0, 0};
        for (int y = (int)y0; (float)y < y1; y++) {
            const float part = fminf((float)(y + 1), y1) - fmaxf((float)y, y0);
            for (int x = (int)x0; (float)x < x1; x++) {
                const float area = part * (fminf((float)(x + 1), x1) - fmaxf((float)x, x0));
                int larger[3];
                Halved<times - 1>::pixel(a, x, y, larger);
                for (int c = 0; c < 3; c++) sums[c] += area * larger[c];
            }
        }
        const float area = (x1 - x0) * (y1 - y0);
        const bool even = step_x == 2 && step_y == 2;  // only here OpenCV rounds a half up
        for (int c = 0; c < 3; c++) {
            const float mean = sums[c] / area;
            levels[c] = (int)(even ? mean + 0.5f : rintf(mean));
        }
    }
};

template <> struct Halved<0> {
    __device__ static void pixel(const Prepare &a, int column, int row, int *levels) {
        const u8 *p = a.frame + 3 * ((size_t)row * a.width + column);
        for (int c = 0; c < 3; c++) levels[c] = p[c];
    }
};

struct alignas(4 * sizeof(float)) Quad {
    float of[REFINED];
};
struct alignas(4) Pixels {
    u8 of[3 * REFINED];
};

// Four high pixels side by side, added to `sums`.
template <int times>
__device__ inline void prepare_row(const Prepare &a, int x, int row, int *sums) {
    const Tap y = tap(row, a.scale_y, a.height >> a.halved_y);
    Pixels levels;
    Quad planes[3];
    for (int i = 0; i < REFINED; i++) {
        const Tap t = tap(REFINED * x + i, a.scale_x, a.width >> a.halved_x);
        int nn[3], nf[3], fn[3], ff[3];
        Halved<times>::pixel(a, t.near, y.near, nn);
        Halved<times>::pixel(a, t.far, y.near, nf);
        Halved<times>::pixel(a, t.near, y.far, fn);
        Halved<times>::pixel(a, t.far, y.far, ff);
        for (int c = 0; c < 3; c++) {
            const int level = fixed_bilinear(y, t, nn[c], fn[c], nf[c], ff[c]);  // down first
            levels.of[3 * i + c] = (u8)level;
            planes[2 - c].of[i] = (float)level * (1 / 255.0f);
            sums[c] += level;
        }
    }
    const size_t wide = (size_t)REFINED * a.w, plane = wide * REFINED * a.h;
    const size_t at = (size_t)row * wide + (size_t)REFINED * x;
    *(Pixels *)(a.guide + 3 * at) = levels;
    for (int c = 0; c < 3; c++) *(Quad *)(a.high + c * plane + at) = planes[c];
}

template <int times> __device__ inline void prepare_low(const Prepare &a, int x, int y) {
    int sums[3] = {0, 0, 0};
#pragma unroll 1
    for (int i = 0; i < REFINED; i++) prepare_row<times>(a, x, REFINED * y + i, sums);
    const size_t plane = (size_t)a.w * a.h, at = (size_t)y * a.w + x;
    for (int c = 0; c < 3; c++) {
        const float level = rintf((float)sums[c] * (1 / 16.0f));
        a.low[(2 - c) * plane + at] = level * (1 / 255.0f);
    }
}

// preprocess.Preprocessor: one pass over the frame to both sizes.
KERNEL(prepare, Prepare) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= a.w || y >= a.h) return;
    switch (max(a.halved_x, a.halved_y)) {
    case 0: return prepare_low<0>(a, x, y);
    case 1: return prepare_low<1>(a, x, y);
    case 2: return prepare_low<2>(a, x, y);
    case MOST_HALVED: return prepare_low<MOST_HALVED>(a, x, y);
    }
}

struct Glance {
    const float *low;  // (3, h, w)
    u8 *glance;        // (3, 18, 32): the last frame's goes in, this frame's comes out
    State *state;
    int w, h;
};

// temporal.glanced: how much the picture changed; one thread to a glance's pixel.
KERNEL(glance, Glance) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= GLANCE_WIDTH || y >= GLANCE_HEIGHT) return;
    const int x0 = x * a.w / GLANCE_WIDTH, x1 = (x + 1) * a.w / GLANCE_WIDTH;
    const int y0 = y * a.h / GLANCE_HEIGHT, y1 = (y + 1) * a.h / GLANCE_HEIGHT;
    unsigned difference = 0;
    for (int c = 0; c < 3; c++) {
        float sum = 0;
        for (int i = y0; i < y1; i++)
            for (int j = x0; j < x1; j++) sum += a.low[((size_t)c * a.h + i) * a.w + j];
        const int level = (int)rintf(sum * (255.0f / (float)((x1 - x0) * (y1 - y0))));
        u8 *last = a.glance + (c * GLANCE_HEIGHT + y) * GLANCE_WIDTH + x;
        difference += level > *last ? level - *last : *last - level;
        *last = (u8)level;
    }
    atomicAdd(&a.state->difference, difference);
}

struct Hint {
    const float *low_alpha;  // (h, w), the last matte
    float *hint;             // (h, w)
    const State *state;
    int w, h, has_last;
};

// temporal.as_hint: the last matte, surer and a pixel wider; zero where there is none.
KERNEL(hint, Hint) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= a.w || y >= a.h) return;
    float most = 0;
    if (remembers(a.state, a.has_last)) {
        for (int i = -1; i <= 1; i++)
            for (int j = -1; j <= 1; j++)
                most = fmaxf(most, a.low_alpha[clamped(y + i, a.h) * a.w + clamped(x + j, a.w)]);
        most = within((most - UNSURE) / (1 - 2 * UNSURE), 0.0f, 1.0f);
    }
    a.hint[y * a.w + x] = most;
}

// ---- After the networks ------------------------------------------------------------------

struct Check {
    const float *coarse, *unified;  // (h, w)
    const float *residual;          // (3, h, w)
    const float *alpha;             // (4h, 4w)
    State *state;
    int w, h;
};

// False for a NaN, too, which compares as false with everything.
__device__ inline bool sound(float v, float least) { return v >= least - SLACK && v <= 1 + SLACK; }

// check.check: marks a frame whose matte is not valid.
KERNEL(check, Check) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= a.w || y >= a.h) return;
    const size_t plane = (size_t)a.w * a.h, at = (size_t)y * a.w + x;
    bool good = sound(a.coarse[at], 0) && sound(a.unified[at], 0);
    for (int c = 0; c < 3; c++) good = good && sound(a.residual[c * plane + at], -1);
    for (int i = 0; i < REFINED; i++)
        for (int j = 0; j < REFINED; j++) {
            const size_t row = (size_t)REFINED * y + i, column = (size_t)REFINED * x + j;
            good = good && sound(a.alpha[row * REFINED * a.w + column], 0);
        }
    if (!good) atomicOr(&a.state->fault, 1u);
}

struct Gate {
    const float *alpha;  // (4h, 4w)
    const float *last;   // (4h, 4w)
    float *weight;       // (h, w): how much the new matte counts
    const State *state;
    int w, h, has_last;
};

// temporal.gated, first half: the mean change of the matte around each low pixel.
KERNEL(gate, Gate) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= a.w || y >= a.h || !remembers(a.state, a.has_last)) return;
    const int reach = GATE_BLUR / 2;
    float sum = 0;
    for (int i = -reach; i <= reach; i++)
        for (int j = -reach; j <= reach; j++) {
            const int low_y = mirrored(y + i, a.h), low_x = mirrored(x + j, a.w);
            float block = 0;
            for (int k = 0; k < REFINED * REFINED; k++) {
                const size_t row = (size_t)REFINED * low_y + k / REFINED;
                const size_t at = row * REFINED * a.w + REFINED * low_x + k % REFINED;
                block += fabsf(a.alpha[at] - a.last[at]);
            }
            sum += block * (1 / 16.0f);
        }
    a.weight[y * a.w + x] = gate_weight(sum * (1.0f / (GATE_BLUR * GATE_BLUR)));
}

struct Steady {
    const float *alpha;   // (4h, 4w)
    const float *weight;  // (h, w)
    const u8 *guide;      // (4h, 4w, 3)
    float *last;          // (4h, 4w): the last matte goes in, this one comes out
    u8 *levels;           // (4h, 4w): this one in levels
    float *low_alpha;     // (h, w): this one at the low size
    float *moments;       // (h, w, 4): means of grey, alpha, grey·alpha, grey²
    const State *state;
    int w, h, has_last;
};

__device__ inline float steady_alpha(const Steady &a, int x, int y, size_t at, bool leans) {
    const float alpha = a.alpha[at];
    if (!leans) return alpha;
    const Corners n = corners((x + 0.5f) / REFINED, (y + 0.5f) / REFINED, a.w, a.h);
    const float *m = a.weight;
    const float last = a.last[at];
    return last + at_corners(n, m[n.nn], m[n.nf], m[n.fn], m[n.ff]) * (alpha - last);
}

// temporal.gated, second half, and what the model needs of the result.
KERNEL(steady, Steady) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= a.w || y >= a.h) return;
    const bool leans = remembers(a.state, a.has_last);
    float alphas[4] = {0, 0, 0, 0};  // sums over the four 2x2 blocks of the sixteen pixels
    int greys[4] = {0, 0, 0, 0};
    for (int i = 0; i < REFINED; i++)
        for (int j = 0; j < REFINED; j++) {
            const int column = REFINED * x + j, row = REFINED * y + i, block = i / 2 * 2 + j / 2;
            const size_t at = (size_t)row * REFINED * a.w + column;
            const float alpha = steady_alpha(a, column, row, at, leans);
            a.last[at] = alpha;
            a.levels[at] = nearest_level(alpha * SOLID);
            alphas[block] += alpha;
            greys[block] += grey_level(a.guide + 3 * at);
        }
    float sums[MOMENTS] = {};
    for (int k = 0; k < 4; k++) {
        const float g = (float)((greys[k] + 2) >> 2) * (1 / 255.0f), m = alphas[k] * 0.25f;
        sums[0] += g;
        sums[1] += m;
        sums[2] += g * m;
        sums[3] += g * g;
    }
    const size_t at = (size_t)y * a.w + x;
    a.low_alpha[at] = sums[1] * 0.25f;
    for (int k = 0; k < MOMENTS; k++) a.moments[MOMENTS * at + k] = sums[k] * 0.25f;
}

struct Model {
    const float *moments;   // (h, w, 4)
    const float *low;       // (3, h, w)
    const float *residual;  // (3, h, w) in [-1, 1]
    float *maps;  // (h, w, 8), as in pixel.h
    int w, h;
};

const int COLOUR_REACH = COLOUR_BLUR / 2;  // low pixels to each side

// edge_model.EdgeModel, of one channel of person and room.
__device__ inline void near_means(const Model &a, int x, int y, int c, float *map) {
    const size_t plane = (size_t)a.w * a.h, first = (2 - c) * plane;
    float person = 0, room = 0, person_weight = 0, room_weight = 0, here[2] = {0, 0};
    for (int i = -COLOUR_REACH; i <= COLOUR_REACH; i++)
        for (int j = -COLOUR_REACH; j <= COLOUR_REACH; j++) {
            const int at = mirrored(y + i, a.h) * a.w + mirrored(x + j, a.w);
            const float alpha = within(a.moments[MOMENTS * at + 1], 0.0f, 1.0f);
            const float level = a.low[first + at] * SOLID;
            const float own = within(level + a.residual[first + at] * SOLID, 0.0f, (float)SOLID);
            person += alpha * alpha * own;
            person_weight += alpha * alpha;
            room += (1 - alpha) * (1 - alpha) * level;
            room_weight += (1 - alpha) * (1 - alpha);
            if (!i && !j) here[0] = own, here[1] = level;
        }
    const float least = COLOUR_EPSILON * (COLOUR_BLUR * COLOUR_BLUR);
    map[c] = (person + least * here[0]) / (person_weight + least);
    map[ROOM + c] = (room + least * here[1]) / (room_weight + least);
}

// edge_model.EdgeModel: the guided filter's slope, and the colours of person and room.
KERNEL(model, Model) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= a.w || y >= a.h) return;
    const int reach = SLOPE_BLUR / 2;
    float means[MOMENTS] = {};
    for (int i = -reach; i <= reach; i++)
        for (int j = -reach; j <= reach; j++) {
            const int at = mirrored(y + i, a.h) * a.w + mirrored(x + j, a.w);
            for (int k = 0; k < MOMENTS; k++) means[k] += a.moments[MOMENTS * at + k];
        }
    for (int k = 0; k < MOMENTS; k++) means[k] /= SLOPE_BLUR * SLOPE_BLUR;
    float *map = a.maps + MAPS * ((size_t)y * a.w + x);
    for (int c = 0; c < 3; c++) near_means(a, x, y, c, map);
    map[SLOPE] = guided_slope(means[0], means[1], means[2], means[3]);
    map[SHARE] = within(1 - means[1], 0.0f, 1.0f);
}

// ---- Composite ---------------------------------------------------------------------------

struct Composite {
    const u8 *frame;   // (height, width, 3)
    const u8 *back;    // (height, width, 3)
    const u8 *glow;    // (h, w, 3): the background out of focus; unused without light wrap
    const float *grade;  // (256, 8): the person's colours by brightness, or null
    const u8 *levels;  // (4h, 4w)
    const u8 *guide;   // (4h, 4w, 3)
    const float *maps; // (h, w, 8)
    const State *state;
    u8 *out;    // (height, width, 3)
    u8 *alpha;  // (height, width)
    u8 *front;  // (height, width, 3), or null
    unsigned *fault;  // the state's, kept where the next frame does not change it
    double scale_x, scale_y;     // high pixels to an output pixel
    float matte_x, matte_y;      // the same
    float wrap;                  // light wrap: 0 off, 1 full
    int width, height, w, h;
    int refine;  // the output is larger than the matte
};

// compositor.Compositor: levels of alpha at an output pixel.
__device__ inline int upsampled(const Composite &a, int x, int y) {
    const int wide = REFINED * a.w, tall = REFINED * a.h;
    const Tap tx = tap(x, a.scale_x, wide), ty = tap(y, a.scale_y, tall);
    const u8 *near_row = a.levels + (size_t)ty.near * wide;
    const u8 *far_row = a.levels + (size_t)ty.far * wide;
    return fixed_bilinear(
        tx, ty, near_row[tx.near], near_row[tx.far], far_row[tx.near], far_row[tx.far]
    );
}

__device__ inline float map_at(const Composite &a, const Corners &n, int k) {
    const float *m = a.maps + k;
    return at_corners(n, m[MAPS * n.nn], m[MAPS * n.nf], m[MAPS * n.fn], m[MAPS * n.ff]);
}

// Grey at the matte's size
__device__ inline float grey_at(const Composite &a, float x, float y) {
    const Corners n = corners(x, y, REFINED * a.w, REFINED * a.h);
    return at_corners(
        n, (float)grey_level(a.guide + 3 * n.nn), (float)grey_level(a.guide + 3 * n.nf),
        (float)grey_level(a.guide + 3 * n.fn), (float)grey_level(a.guide + 3 * n.ff)
    );
}

// The background's light on the person's rim
__device__ inline float light_at(const Composite &a, const Corners &low, int c) {
    const u8 *m = a.glow + c;
    return at_corners(
        low, (float)m[3 * low.nn], (float)m[3 * low.nf], (float)m[3 * low.fn], (float)m[3 * low.ff]
    );
}

// compositor.Compositor; one thread to an output pixel.
KERNEL(composite, Composite) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= a.width || y >= a.height) return;
    if (x == 0 && y == 0) *a.fault = a.state->fault;
    const size_t at = (size_t)y * a.width + x;
    const u8 *p = a.frame + 3 * at, *b = a.back + 3 * at;
    int alpha = a.state->fault ? 0 : upsampled(a, x, y);
    const bool soft = alpha > 0 && alpha < SOLID;
    const float mx = (x + 0.5f) * a.matte_x, my = (y + 0.5f) * a.matte_y;
    const Corners low = corners(mx * (1.0f / REFINED), my * (1.0f / REFINED), a.w, a.h);
    if (soft && a.refine) {
        const float here = brightness(p[0], p[1], p[2]);
        alpha = refined(alpha, map_at(a, low, SLOPE), here, grey_at(a, mx, my));
    }
    const float weight = (float)alpha * (1.0f / SOLID);
    float front[3];
    for (int c = 0; c < 3; c++) {
        front[c] = alpha ? p[c] : 0;
        if (!soft) continue;
        const float person = map_at(a, low, c), room = map_at(a, low, ROOM + c);
        front[c] = fused(person, room, (float)p[c], weight, 0.0f, (float)SOLID);
    }
    if (a.grade && alpha) {
        const float *row = a.grade + GRADE * brightness_level(front[0], front[1], front[2]);
        for (int c = 0; c < 3; c++)
            front[c] = graded(front[c], row[c], row[GRADE / 2 + c], 0.0f, (float)SOLID);
    }
    for (int c = 0; c < 3; c++) {
        float colour = front[c];
        if (a.front) a.front[3 * at + c] = (u8)(alpha ? colour + 0.5f : 0);
        if (alpha && a.wrap > 0)
            colour = wrapped(colour, a.wrap * map_at(a, low, SHARE), light_at(a, low, c));
        a.out[3 * at + c] = (u8)floorf(mixed(colour, (float)b[c], weight));
    }
    a.alpha[at] = (u8)alpha;
}
